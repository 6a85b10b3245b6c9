"""What Python files do, as a hash: docstrings and comments do not count.

The syntax tree is hashed, in a form of its own: `ast.dump` prints the same
tree in another way from version to version of Python.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError

__all__ = ["imported_files", "python_digest"]

_NO_MEANING = ("ctx", "kind", "type_comment", "type_ignores")
"""Fields that follow from the place of a node, or that nothing reads."""


def python_digest(files: Iterable[str | os.PathLike[str]]) -> str:
    """Hashes what Python files do.

    Arguments
    ---------
    files : Iterable
        Paths; their order counts.

    Returns
    -------
    str
        16 hexadecimal digits: the same wherever the files lie, under each
        version of Python, and whatever docstrings, comments and layout are.

    Raises
    ------
    UserError
        If a file is missing or is no Python; the message names it.
    """
    content = [_plain(_parsed(Path(file))) for file in files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def imported_files(folder: Path, names: Iterable[str]) -> list[Path]:
    """Finds the files of a folder that some names need, and those they import.

    Arguments
    ---------
    folder : Path
        Where modules are looked for; all others are somebody else's.
    names : Iterable[str]
        Dotted names of modules or of what is in them.

    Returns
    -------
    list[Path]
        Sorted files, with all that they import from the folder, wherever the
        import stands in them.

    Raises
    ------
    UserError
        If one of them is no Python.
    """
    found: set[Path] = set()
    left = list(names)
    while left:
        for file in _files_of(folder, left.pop()):
            if file not in found:
                found.add(file)
                left += _imports(file, folder)
    return sorted(found)


def _parsed(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    try:
        return ast.parse(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"The file {file} cannot be read ({error.strerror or error})."
        ) from error
    # ValueError: a byte of zero.
    except (SyntaxError, ValueError) as error:
        raise UserError(f"The file {file} must be Python ({error}).") from error


def _plain(node: Any) -> Any:
    """A node as lists and texts, without its place and its docstrings."""
    if isinstance(node, list):
        return [_plain(x) for x in node if not _says_nothing(x)]
    if isinstance(node, ast.Constant):
        # `repr` writes the characters that the version's Unicode knows.
        return [type(node.value).__name__, ascii(node.value)]
    if isinstance(node, ast.JoinedStr):
        # Python 3.12 ends the format of a field with a text of no letters.
        return ["JoinedStr", [["values", [_plain(x) for x in _written(node)]]]]
    if isinstance(node, ast.AST):
        fields = [
            [name, _plain(value)]
            for name, value in ast.iter_fields(node)
            # Versions differ in the optional fields that a node has.
            if name not in _NO_MEANING and value not in (None, [])
        ]
        return [type(node).__name__, fields]
    return node


def _written(node: ast.JoinedStr) -> list[ast.expr]:
    """The parts of an f-string that have letters or fields."""
    return [
        x
        for x in node.values
        if not isinstance(x, ast.Constant) or x.value != ""
    ]


def _says_nothing(node: Any) -> bool:
    """Whether a statement does nothing.

    A statement that is a constant alone, such as a docstring, or `pass`, which
    stands where no docstring does.
    """
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass)


def _files_of(folder: Path, name: str) -> Iterator[Path]:
    """The files that importing a dotted name runs."""
    place = folder
    for part in name.split("."):
        place = place / part
        package, module = place / "__init__.py", place.with_suffix(".py")
        if package.is_file():
            yield package
        elif module.is_file():
            yield module
        elif not place.is_dir():
            return


def _imports(file: Path, folder: Path) -> Iterator[str]:
    """The dotted names that a file imports."""
    package = file.relative_to(folder).parts[:-1]
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level]
            start = [*(above if node.level else ()), *_parts(node.module)]
            yield from (".".join([*start, x.name]) for x in node.names)
        elif isinstance(node, ast.Call) and _is_import(node.func):
            yield from (
                x.value
                for x in node.args[:1]
                if isinstance(x, ast.Constant) and isinstance(x.value, str)
            )


def _parts(module: str | None) -> list[str]:
    return module.split(".") if module else []


def _is_import(function: ast.expr) -> bool:
    """Whether a function that is called imports the module that it is given."""
    name = getattr(function, "attr", getattr(function, "id", None))
    return name in ("import_module", "__import__")
