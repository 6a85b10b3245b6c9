"""What YAML files say, as a hash: comments and layout do not count."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import UserError

__all__ = ["keys_of", "numbers_of", "words_of", "yaml_digest"]

_INCLUDE = re.compile(r"^!include:(.+)$")


def yaml_digest(files: Iterable[str | os.PathLike[str]]) -> str:
    """Hashes YAML files together with all that they include.

    Arguments
    ---------
    files : Iterable
        Paths.

    Returns
    -------
    str
        16 hexadecimal digits, the same wherever the files lie.

    Raises
    ------
    UserError
        If a file is missing or is no YAML; the message names it.
    """
    content = [_expanded(Path(file)) for file in files]
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def words_of(file: str | os.PathLike[str]) -> list[str]:
    """Lists the tags, keys and values of a YAML file of any kind.

    Arguments
    ---------
    file : path
        The file; those that it includes count as its own.

    Returns
    -------
    list
        Texts, in the order of the file.

    Raises
    ------
    UserError
        If a file is missing or is no YAML; the message names it.
    """
    return list(_flat(_expanded(Path(file))))


def numbers_of(file: str | os.PathLike[str]) -> dict[str, float]:
    """Reads the plain numbers at the top of a YAML file of any kind.

    Arguments
    ---------
    file : path
        The file; tags of other packages do not matter.

    Returns
    -------
    dict
        Key -> number.

    Raises
    ------
    UserError
        If the file is missing or is no YAML.
    """
    kinds = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return {
        name: float(value.value)
        for name, value in _entries(Path(file)).items()
        if value.tag in kinds
    }


def keys_of(file: str | os.PathLike[str]) -> list[str]:
    """Reads the names at the top of a YAML file of any kind.

    Arguments
    ---------
    file : path
        The file; tags of other packages do not matter.

    Returns
    -------
    list
        The keys.

    Raises
    ------
    UserError
        If the file is missing or is no YAML.
    """
    return list(_entries(Path(file)))


def _entries(file: Path) -> dict[str, Any]:
    """Keys and nodes at the top of a file."""
    node = _composed(file)
    found = node.value if isinstance(node, yaml.MappingNode) else []
    return {key.value: value for key, value in found}


def _expanded(file: Path, within: tuple[Path, ...] = ()) -> Any:
    """Tags and values of a file and of those that it includes."""
    if file.resolve() in within:
        raise UserError(f"The file {file} must not include itself.")
    node = _composed(file)
    within = (*within, file.resolve())
    return None if node is None else _plain(node, file, within)


def _flat(content: Any) -> Iterator[str]:
    """The texts in lists of lists."""
    if isinstance(content, str):
        yield content
    else:
        for part in content or ():
            yield from _flat(part)


def _composed(file: Path) -> yaml.Node | None:
    """The nodes of a file; nothing is built from them."""
    try:
        with file.open(encoding="utf-8") as stream:
            return yaml.compose(stream, Loader=yaml.SafeLoader)
    except OSError as error:
        raise UserError(
            f"The file {file} cannot be read ({error.strerror or error})."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The file {file} must be YAML ({reason}).") from error


def _plain(node: yaml.Node, file: Path, within: tuple[Path, ...]) -> Any:
    """A node without its place and its comments."""

    def plain(part: yaml.Node) -> Any:
        """A part of it."""
        return _plain(part, file, within)

    if isinstance(node, yaml.MappingNode):
        value: Any = [[plain(key), plain(part)] for key, part in node.value]
    elif isinstance(node, yaml.SequenceNode):
        value = [plain(part) for part in node.value]
    else:
        value = node.value
    found = _INCLUDE.match(node.tag)
    if found is None:
        return [node.tag, value]
    return ["!include", _expanded(file.parent / found.group(1), within), value]
