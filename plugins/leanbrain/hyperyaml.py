"""HyperPyYAML, where each load is as the first one of a process.

`load_hyperpyyaml` registers `(1, 2)` as the text of a tuple with ruamel.yaml,
for good and for whoever writes YAML later. From the second load on a text that
`!ref` puts together, such as `!ref (<a>, <b>)`, is therefore written in quotes
before it is read, and becomes a string. A load that fails leaves other settings
behind. Whatever reads or writes YAML with tags goes through here: what a
recipe's script loads after us must not depend on what we have loaded.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = [
    "as_first_load",
    "as_override",
    "fill_places",
    "load_yaml",
    "read_tagged",
    "resolved_text",
    "write_tagged",
]

_TUPLE = "!tuple"
_EQUALS = r"\u003d"
_IN_JSON = re.compile(r'--\w+=["\[{]')


@contextmanager
def as_first_load() -> Iterator[None]:
    """Hides what earlier loads left behind, and leaves nothing itself.

    Yields
    ------
    None

    Example
    -------
    >>> from hyperpyyaml import load_hyperpyyaml
    >>> text = "a: 1\\nb: !ref (<a>, 2)\\n"
    >>> for _ in range(2):
    ...     with as_first_load():
    ...         load_hyperpyyaml(text)["b"]
    (1, 2)
    (1, 2)
    """
    import ruamel.yaml
    import yaml

    deep = [
        package.constructor.BaseConstructor.construct_object
        for package in (yaml, ruamel.yaml)
    ]
    # A load inside of another one's construction must not end that one's.
    before = [function.__defaults__ for function in deep]
    _forget_tuples()
    for function in deep:
        function.__defaults__ = (False,)
    try:
        yield
    finally:
        _forget_tuples()
        for function, defaults in zip(deep, before, strict=True):
            function.__defaults__ = defaults


def load_yaml(
    stream: str | TextIO, overrides: Mapping[str, Any] | str | None = None
) -> dict[str, Any]:
    """Loads a YAML file as `load_hyperpyyaml` does in a new process.

    Arguments
    ---------
    stream : str or file
        The YAML. What it includes is looked for beside a file.
    overrides : mapping or str, optional
        Other values for its keys.

    Returns
    -------
    dict
        Key -> what it was built to.

    Example
    -------
    >>> load_yaml("a: 1\\nb: !ref (<a>, 2)\\n", {"a": 3})["b"]
    (3, 2)
    """
    import ruamel.yaml
    from hyperpyyaml import load_hyperpyyaml

    class Loader(ruamel.yaml.Loader):  # type: ignore[misc]
        """Takes what is registered in this load, so that others do not."""

    with as_first_load():
        loaded: dict[str, Any] = load_hyperpyyaml(
            stream, overrides, loader=Loader
        )
    return loaded


def resolved_text(
    stream: str | TextIO, overrides: Mapping[str, Any] | None = None
) -> str:
    """Returns a YAML file with its references resolved, nothing built.

    Arguments
    ---------
    stream : str or file
        The YAML.
    overrides : mapping, optional
        Other values for its keys.

    Returns
    -------
    str
        YAML.

    Example
    -------
    >>> resolved_text("a: 1\\nb: !ref <a>\\n", {"a": 2})
    'a: 2\\nb: 2\\n'
    """
    from hyperpyyaml import resolve_references

    with as_first_load():
        text: str = resolve_references(stream, dict(overrides or {})).getvalue()
    return text


def read_tagged(text: str) -> Any:
    """Reads YAML as a tree whose values know their tags; builds nothing.

    Arguments
    ---------
    text : str
        YAML.

    Returns
    -------
    CommentedMap, CommentedSeq or scalar
    """
    from ruamel.yaml import YAML

    with as_first_load():
        return YAML().load(text)


def write_tagged(tree: Any, file: str | os.PathLike[str]) -> io.StringIO:
    """Writes a tree for `load_yaml`.

    Arguments
    ---------
    tree : CommentedMap
        From `read_tagged`, or a plain mapping.
    file : path
        The file that it is of: what it includes is looked for beside it.

    Returns
    -------
    StringIO

    Example
    -------
    >>> write_tagged(read_tagged("a: !ref <b>"), "x.yaml").getvalue()
    'a: !ref <b>\\n'
    """
    from ruamel.yaml import YAML

    stream = io.StringIO()
    with as_first_load():
        YAML().dump(tree, stream)
    stream.seek(0)
    stream.name = os.fspath(file)  # type: ignore[attr-defined]
    return stream


def as_override(key: str, value: Any) -> str:
    """Writes a setting as a word of a recipe's command line.

    SpeechBrain joins such words to YAML: a `#`, a colon or a language called
    `no` would be read as something else. JSON is YAML with all in quotes; an
    equals sign, at which words are cut, is written by its number.

    Arguments
    ---------
    key : str
        The key of the recipe's YAML.
    value : Any
        Plain containers, texts, paths and numbers.

    Returns
    -------
    str
        `--key=value`.

    Example
    -------
    >>> as_override("data_folder", "/data/a #1")
    '--data_folder="/data/a #1"'
    >>> as_override("languages", ["1", "no"])
    '--languages=["1", "no"]'
    """
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, default=os.fspath
    )
    return f"--{key}={text.replace('=', _EQUALS)}"


def fill_places(word: str, places: Mapping[str, str]) -> str:
    """Puts into a word what the names in braces stand for.

    Arguments
    ---------
    word : str
        Of a command line; other braces stay.
    places : mapping
        Name -> what it stands for on this machine. In a word of `as_override`
        it becomes a part of the text in quotes.

    Returns
    -------
    str

    Example
    -------
    >>> fill_places("{recipe}/train.py", {"recipe": "/a"})
    '/a/train.py'
    >>> fill_places(as_override("f", "{data}"), {"data": '/"=#'})
    '--f="/\\\\"\\\\u003d#"'
    """
    quoted = _IN_JSON.match(word)
    for name, place in places.items():
        if quoted:
            text = json.dumps(place, ensure_ascii=False)[1:-1]
            place = text.replace("=", _EQUALS)
        word = word.replace(f"{{{name}}}", place)
    return word


def _forget_tuples() -> None:
    """Takes back what `load_hyperpyyaml` registers for all of ruamel.yaml."""
    from ruamel.yaml.resolver import implicit_resolvers

    implicit_resolvers[:] = [x for x in implicit_resolvers if x[1] != _TUPLE]
