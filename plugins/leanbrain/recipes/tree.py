"""The YAML of a recipe as a tree with its tags, nothing of it built."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from leanbrain.checks import UserError, nearest
from leanbrain.files import read_text
from leanbrain.hyperyaml import read_tagged

__all__ = [
    "needed",
    "no_such_key",
    "open_keys",
    "override",
    "read_tree",
    "texts_of",
]

StrPath = str | os.PathLike[str]

_REFERENCE = re.compile(r"<([^<>\[\].]+)[^<>]*>")


def read_tree(file: StrPath) -> Any:
    """Reads a YAML file.

    Arguments
    ---------
    file : path
        A recipe's YAML.

    Returns
    -------
    CommentedMap
        Its keys; values know their tags.

    Raises
    ------
    UserError
        If it cannot be read, is no YAML, or does not consist of keys.
    """
    from ruamel.yaml.error import YAMLError

    text = read_text(file, "recipe")
    try:
        tree = read_tagged(text)
    except YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The recipe {file} must be YAML, got {reason}"
        ) from error
    if not isinstance(tree, Mapping):
        raise UserError(f"The recipe {file} must hold `key: value` lines.")
    return tree


def override(tree: Any, overrides: Mapping[str, Any]) -> None:
    """Changes values in place, as a recipe's command line does.

    Arguments
    ---------
    tree : CommentedMap
        From `read_tree`.
    overrides : mapping
        Key -> value; a mapping changes the keys that it names.

    Raises
    ------
    UserError
        If there is no such key, or a mapping is to change what is none.

    Example
    -------
    >>> tree = {"a": 1, "b": {"c": 2, "d": 3}}
    >>> override(tree, {"b": {"c": 4}})
    >>> tree
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    import hyperpyyaml

    for key in overrides:
        if key not in tree:
            raise UserError(no_such_key(key, map(str, tree)))
    try:
        for key, value in overrides.items():
            if _is_open(tree[key]):  # no mapping to be changed key by key
                tree[key] = value
            else:
                hyperpyyaml.core.recursive_update(tree, {key: value})
    except TypeError as error:
        raise UserError(
            "A mapping can only change keys of the recipe that are mappings, "
            f"got {dict(overrides)}."
        ) from error


def no_such_key(key: str, known: Iterable[str]) -> str:
    """Says that a recipe has no such key; it has too many to list them all.

    Arguments
    ---------
    key : str
        As it was typed.
    known : iterable of str
        Those of the recipe.

    Returns
    -------
    str
        A sentence.

    Example
    -------
    >>> no_such_key("batchsize", ["batch_size", "lr"])
    "The recipe has no key 'batchsize' (nearest: batch_size)."
    """
    close = nearest(key, known)
    hint = f" (nearest: {', '.join(close)})" if close else ""
    return f"The recipe has no key {key!r}{hint}."


def needed(tree: Any, key: str) -> list[str]:
    """Lists the keys that a key's value is made of, in the order of the file.

    Arguments
    ---------
    tree : CommentedMap
        From `read_tree`.
    key : str
        Where to begin.

    Returns
    -------
    list
        Itself and what it refers to, directly or not. What does not exist is
        left for HyperPyYAML to complain of.

    Example
    -------
    >>> needed({"a": "<b>/x", "b": "<c[d]>", "c": {"d": 1}, "e": 2}, "a")
    ['a', 'b', 'c']
    """
    found: set[str] = set()
    waiting = [key]
    while waiting:
        name = waiting.pop()
        if name in found or name not in tree:
            continue
        found.add(name)
        for text in texts_of(tree[name]):
            waiting += _REFERENCE.findall(text)
    return [name for name in tree if name in found]


def open_keys(tree: Any, keys: Iterable[str]) -> list[str]:
    """Lists the keys whose values are, or hold, placeholders.

    Arguments
    ---------
    tree : CommentedMap
        From `read_tree`.
    keys : iterable of str
        Which to look at.

    Returns
    -------
    list
    """
    return [
        key
        for key in keys
        if any(_is_open(leaf) for leaf in _leaves(tree[key]))
    ]


def _leaves(node: Any) -> Iterator[Any]:
    """Yields the scalars below a node."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _leaves(value)
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value)
    else:
        yield node


def texts_of(node: Any) -> Iterator[str]:
    """Yields the texts below a node, of tagged scalars too.

    Example
    -------
    >>> list(texts_of({"a": ["b", 1], "c": {"d": "e"}}))
    ['b', 'e']
    """
    for leaf in _leaves(node):
        text = getattr(leaf, "value", leaf)
        if isinstance(text, str):
            yield text


def _is_open(value: Any) -> bool:
    """Whether a value is a placeholder."""
    tag = getattr(value, "tag", None)
    return tag is not None and tag.value == "!PLACEHOLDER"
