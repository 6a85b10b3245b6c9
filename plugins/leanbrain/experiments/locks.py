"""Locks in files, and what can be wrong with them: said as it is."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from leanbrain.checks import UserError

__all__ = ["held"]

# What a file system says that has no locks, or whose lock service is away.
_NO_LOCKS = frozenset(
    {
        errno.ENOLCK,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
        errno.ENOTSUP,
        errno.EINVAL,
    }
)


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Holds a lock; makes its folder first.

    Arguments
    ---------
    lock : FileLock
        In the folder that it protects.

    Yields
    ------
    None

    Raises
    ------
    UserError
        If the folder has no locks or cannot be written. What is raised inside
        passes unchanged, and so does `filelock.Timeout`.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> with held(FileLock(f"{folder.name}/x.lock")):
    ...     print("alone")
    alone
    >>> folder.cleanup()
    """
    folder = Path(lock.lock_file).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    # Older versions of filelock raise the first where there are no locks.
    except (NotImplementedError, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        # Timeout is an OSError, too, without a number.
        if isinstance(error, TimeoutError):
            raise
        if _lacks_locks(error):
            raise UserError(
                f"The folder {folder} must be on a file system with locks, "
                f"got {said}: choose another folder, or mount it with its "
                "lock service."
            ) from error
        raise UserError(
            f"The folder {folder} cannot be written ({said})."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _lacks_locks(error: OSError | NotImplementedError) -> bool:
    """Whether it is locks that are missing."""
    return (
        isinstance(error, NotImplementedError)
        or getattr(error, "errno", None) in _NO_LOCKS
    )
