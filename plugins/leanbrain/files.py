"""Files of text, JSON and tensors: written atomically, read with checks.

An interrupted write (a kill, a full disk) leaves the old file as it was.
Reading turns each way in which a file can be wrong into one sentence with its
path.
"""

import json
import os
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain._atomic import atomic_path
from leanbrain._strict_json import strict_json
from leanbrain.checks import UserError

__all__ = [
    "atomic_path",
    "load_tensors",
    "make_folder",
    "read_json",
    "read_tensors",
    "read_text",
    "save_tensors",
    "write_json",
    "write_tensors",
    "write_text",
]


def read_text(path: str | os.PathLike[str], what: str = "file") -> str:
    """Reads a text file.

    Arguments
    ---------
    path : path
        The file, UTF-8; a byte order mark, as spreadsheets write it, is left
        out.
    what : str
        What the user knows it as, such as "recipe".

    Returns
    -------
    str
        Its content, line ends as they are.

    Raises
    ------
    UserError
        If the file is missing, unreadable or not UTF-8.

    Example
    -------
    >>> read_text("missing.yaml", "recipe")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The recipe missing.yaml does not exist.
    """
    content = _read_bytes(path, what=what)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"The {what} {path} must be UTF-8 text, got: {error}."
        ) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8), atomically.

    Arguments
    ---------
    path : path
        Where the file shall be.
    text : str
        Its content.

    Raises
    ------
    UserError
        If it cannot be written; an older file then survives.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder, and makes sure that files can be written to it.

    Arguments
    ---------
    path : path
        The folder, there or not.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If it cannot be made or takes no files.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"The folder {folder} must be one that can be written, got "
            f"{error.strerror or error}."
        ) from error
    return folder


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes an object as JSON, atomically.

    Arguments
    ---------
    path : path
        Where the file shall be.
    obj : Any
        Plain containers and numbers. NaN and infinity are refused by a
        ValueError, since other readers of JSON refuse them.

    Raises
    ------
    UserError
        If it cannot be written; an older file then survives.
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Arguments
    ---------
    path : path
        The file.

    Returns
    -------
    Any
        Its content.

    Raises
    ------
    UserError
        If the file is missing, unreadable or not JSON; NaN, infinity and a
        key that comes twice are none.

    Example
    -------
    >>> read_json("missing.json")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The file missing.json does not exist.
    """
    content = _read_bytes(path)
    try:
        return strict_json(content)
    except ValueError as error:
        raise UserError(
            f"The file {path} is truncated or is not JSON ({error})."
        ) from error


def save_tensors(path: str | os.PathLike[str], obj: Mapping[str, Any]) -> None:
    """Writes tensors and plain containers with `torch.save`, atomically.

    Arguments
    ---------
    path : path
        Where the file shall be.
    obj : Mapping[str, Any]
        Holds at least "format" (str) and "version" (int), by which
        `load_tensors` recognises the file.

    Raises
    ------
    UserError
        If "format" or "version" is missing or the file cannot be written; an
        older file then survives.

    Example
    -------
    >>> import torch
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> target = Path(folder.name) / "x.pt"
    >>> content = {"format": "demo", "version": 1, "x": torch.ones(2)}
    >>> save_tensors(target, content)
    >>> load_tensors(target, kind="demo", version=1)["x"]
    tensor([1., 1.])
    >>> folder.cleanup()
    """
    kind, version = obj.get("format"), obj.get("version")
    if not isinstance(kind, str) or not isinstance(version, int):
        raise UserError(
            '`obj` must hold "format" (a string) and "version" (an integer), '
            f"got {kind!r} and {version!r}."
        )
    write_tensors(path, dict(obj))


def write_tensors(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes anything with `torch.save`, such as a state dict, atomically.

    Arguments
    ---------
    path : path
        Where the file shall be.
    obj : Any
        Tensors and plain containers.

    Raises
    ------
    UserError
        If the file cannot be written; an older file then survives.
    """
    import torch

    with atomic_path(path) as temporary:
        # Through a file of Python's, whose errors say what the disk did;
        # torch's writer hides them behind a RuntimeError when it closes.
        try:
            with open(temporary, "wb") as file:
                torch.save(obj, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_tensors(
    path: str | os.PathLike[str], *, kind: str, version: int
) -> dict[str, Any]:
    """Reads what `save_tensors` wrote; never runs code from the file.

    Arguments
    ---------
    path : path
        The file.
    kind : str
        The "format" that it must hold, such as "leanbrain.maskset".
    version : int
        The "version" that it must hold.

    Returns
    -------
    dict
        The content, tensors on the CPU.

    Raises
    ------
    UserError
        If the file is missing, truncated or unreadable, holds more than
        tensors and plain containers, or is of another format or version.

    Example
    -------
    >>> load_tensors("missing.pt", kind="demo", version=1)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The file missing.pt does not exist.
    """
    content = read_tensors(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != kind:
        got = "none" if found is None else repr(found)
        raise UserError(
            f"The file {path} must be of format {kind!r}, got {got}."
        )
    if content.get("version") != version:
        raise UserError(
            f"The file {path} must be of version {version} of {kind!r}, "
            f"got {content.get('version')!r}."
        )
    return content


def read_tensors(path: str | os.PathLike[str]) -> Any:
    """Reads any file of torch.save, such as a model; never runs code from it.

    Arguments
    ---------
    path : path
        The file.

    Returns
    -------
    Any
        The content, tensors on the CPU.

    Raises
    ------
    UserError
        If the file is missing, truncated or unreadable, or holds more than
        tensors and plain containers.
    """
    import torch

    _read_bytes(path, 1)
    if not _is_intact(path):
        size = os.path.getsize(path)
        raise UserError(
            f"The file {path} ({size} bytes) is truncated, damaged or was not "
            "written by torch.save."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"The file {path} holds other objects than tensors and plain "
            "containers; it was not loaded, as it could run code."
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        # Whole as it is: of another kind, or no memory is left, ...
        reason = " ".join(str(error).split())[:150].rstrip(".")
        raise UserError(
            f"The file {path} cannot be loaded by torch "
            f"({type(error).__name__}: {reason})."
        ) from error


def _is_intact(path: str | os.PathLike[str]) -> bool:
    """Says whether a file is a zip archive whose checksums are right."""
    # torch.load does not compare the checksums that torch.save writes, and
    # would try to run as a pickle whatever is no archive.
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        LookupError,
        ValueError,
        RuntimeError,
    ):
        return False


def _read_bytes(
    path: str | os.PathLike[str], count: int = -1, what: str = "file"
) -> bytes:
    """Reads a file, or its first `count` bytes; says what hinders it."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except FileNotFoundError as error:
        raise UserError(f"The {what} {path} does not exist.") from error
    except OSError as error:
        raise UserError(
            f"The {what} {path} cannot be read ({error.strerror or error})."
        ) from error
