"""Loads a pruning method, by its name or from its file, with settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_known
from leanbrain.files import read_text
from leanbrain.hyperyaml import load_yaml, read_tagged, write_tagged
from leanbrain.shipped import find_yaml

__all__ = ["load_method", "method_facts"]

PLACEHOLDER = "!PLACEHOLDER"


def load_method(
    method: str | os.PathLike[str], **settings: Any
) -> dict[str, Any]:
    """Builds what a method's file describes.

    Arguments
    ---------
    method : str or path
        The name of a method, such as "lap", or a YAML file with the key
        `pruner`.
    **settings
        Values for keys of the file; each replaces the file's own as a whole.
        Only where the file includes another, a mapping changes that one's
        keys: ``adaptive={"interval": 5}``.

    Returns
    -------
    dict
        The file's keys; "pruner" is the pruner, not attached yet.

    Raises
    ------
    UserError
        If there is no such method, if its file is missing or is none, if it
        has no such setting, or if one that it asks for is not given.

    Example
    -------
    >>> found = load_method("adaptive", total_steps=9, pathways=["en", "fr"])
    >>> found["pruner"].pathways
    ('en', 'fr')
    """
    file = find_yaml("pruning", method)
    tree = _with_values(file, settings)
    missing = [name for name, value in tree.items() if _is_open(value)]
    if missing:
        raise UserError(
            f"The method {file} must be given "
            f"{', '.join(f'`{name}`' for name in missing)}, got none."
        )
    try:
        return load_yaml(write_tagged(tree, file))
    except UserError as error:
        raise UserError(_with_settings(str(error), file, settings)) from error


def method_facts(
    method: str | os.PathLike[str], **settings: Any
) -> dict[str, Any]:
    """Says what a method is, to tell it from another one; builds nothing.

    Arguments
    ---------
    method, settings
        As for `load_method`; keys may stay open.

    Returns
    -------
    dict
        The keys of the file with their values as they are written, tags in
        front; what the key `pruner` says is one text.

    Raises
    ------
    UserError
        If the file is missing or is no method, or has no such setting.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> file = Path(folder.name) / "tiny.yaml"
    >>> written = file.write_text("steps: 4\\npruner: !ref <steps> # of it\\n")
    >>> method_facts(file), method_facts(file, steps=7)["steps"]
    ({'steps': 4, 'pruner': '"!ref <steps>"'}, 7)
    >>> folder.cleanup()
    """
    tree = _with_values(find_yaml("pruning", method), settings)
    facts = {str(name): _bare(value) for name, value in tree.items()}
    facts["pruner"] = json.dumps(facts["pruner"])
    return facts


def _with_values(file: Path, settings: Mapping[str, Any]) -> Any:
    """Reads a method's file and sets keys of it."""
    tree = _read(file)
    for name, value in settings.items():
        known = [key for key in tree if key != "pruner"]
        check_known(f"setting of {file}", name, known)
        _put(tree, name, _plain(value))
    return tree


def _bare(node: Any) -> Any:
    """A part of a tree as plain data, without comments and styles."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    start = f"{tag} " if tag else ""
    if isinstance(node, Mapping):
        entries = {str(key): _bare(value) for key, value in node.items()}
        return {"tag": tag, **entries} if tag else entries
    if isinstance(node, list):
        return [*([tag] if tag else []), *map(_bare, node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float):
        if isinstance(node, kind):
            return kind(node)
    return f"{start}{getattr(node, 'value', node)}".rstrip()


def _with_settings(said: str, file: Path, settings: Mapping[str, Any]) -> str:
    """Adds what the user set: inside of the file it goes by another name."""
    common = ("total_steps", "pathways", "initial_masks")
    own = {k: v for k, v in settings.items() if k not in common}
    if not own or any(key in said for key in own):
        return said
    given = ", ".join(f"{key}={value}" for key, value in own.items())
    return f"{said.rstrip('.')}, with {given} in {file}."


def _read(file: Path) -> Any:
    """Reads a method's file with its tags, nothing of it built yet."""
    from ruamel.yaml.error import YAMLError

    text = read_text(file, "method")
    try:
        tree = read_tagged(text)
    except YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The method {file} must be YAML, got {reason}"
        ) from error
    if not isinstance(tree, Mapping) or "pruner" not in tree:
        raise UserError(f"The method {file} must have the key `pruner`.")
    return tree


def _put(tree: Any, name: str, value: Any) -> None:
    """Sets a key; an included file's own keys are set one by one."""
    from ruamel.yaml.comments import CommentedMap

    node = tree[name]
    tag = getattr(node, "tag", None)
    includes = str(getattr(tag, "value", None)).startswith("!include:")
    if not (includes and isinstance(value, Mapping)):
        tree[name] = value
        return
    if not isinstance(node, Mapping):  # included without any change so far
        tree[name] = CommentedMap()
        tree[name].yaml_set_ctag(tag)
    tree[name].update(value)


def _is_open(value: Any) -> bool:
    """Whether a value is still to be given."""
    tag = getattr(value, "tag", None)
    return tag is not None and tag.value == PLACEHOLDER


def _plain(value: Any) -> Any:
    """Turns paths into text and tuples into lists, which YAML can hold."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
