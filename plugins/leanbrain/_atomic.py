"""Files that are either whole or not there.

A file is written beside its final place, flushed to the disk and renamed.
Whoever is interrupted in between (a kill, a full disk) still has the old file.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leanbrain.checks import UserError

__all__ = ["atomic_path", "disk_refusal"]

# What the disk may do to whoever writes; all else is an error of the writer.
_DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
)

# Where torch's own writer says so; it hides what the disk said.
_TORCH_WRITER = "inline_container"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path that becomes `path` when the block ends well.

    Arguments
    ---------
    path : path
        Where the file shall be; its folder is made if it is missing.

    Yields
    ------
    Path
        A new empty file in the same folder, to be written by the caller.

    Raises
    ------
    UserError
        If the disk is full or the folder cannot be written; the old file is
        then untouched. Every other error in the block passes unchanged.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> target = Path(folder.name) / "notes.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    >>> folder.cleanup()
    """
    target = Path(path)
    with _write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _new_sibling(target)
    try:
        with _write_errors(target, only=_DISK_ERRORS):
            yield temporary
        with _write_errors(target):
            _sync(temporary)
            os.replace(temporary, target)
            _sync_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def disk_refusal(
    error: BaseException, folder: str | os.PathLike[str]
) -> str | None:
    """Tells whether the disk refused what was to be written to a folder.

    Arguments
    ---------
    error : BaseException
        What writing ended with.
    folder : path
        Where something was written.

    Returns
    -------
    str or None
        What the disk said and how much room it has; None if the error came
        from elsewhere.

    Example
    -------
    >>> disk_refusal(PermissionError(13, "Permission denied", "/x/y"), "/x")
    'Permission denied'
    >>> disk_refusal(PermissionError(13, "Permission denied", "/z"), "/x")
    >>> disk_refusal(ValueError("no"), "/x")
    """
    if isinstance(error, OSError):
        inside = error.filename is not None and Path(
            os.path.abspath(os.fsdecode(error.filename))
        ).is_relative_to(os.path.abspath(folder))
        if not (inside or error.errno in _DISK_ERRORS):
            return None
        said = error.strerror or str(error)
    elif isinstance(error, RuntimeError) and _TORCH_WRITER in str(error):
        said = "torch could not write a file"
    else:
        return None
    if not os.path.isdir(folder):
        return said
    return f"{said} ({shutil.disk_usage(folder).free:,} bytes are free)"


@contextmanager
def _write_errors(
    target: Path, only: frozenset[int] | None = None
) -> Iterator[None]:
    """Turns what hinders writing a file into one sentence with its path."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise UserError(
            f"The file {target} cannot be written ({error.strerror or error})"
            "; what was there before is untouched."
        ) from error


def _new_sibling(target: Path) -> Path:
    """Makes an empty file beside the target, under a name of its own."""
    path = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    # Not tempfile.mkstemp, which would make the result unreadable for others.
    path.open("xb").close()
    return path


def _sync(path: Path) -> None:
    """Waits until a file's content is on the disk."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Waits until a folder's new entries are on the disk."""
    # Windows cannot open folders.
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
