"""Memory that the process has freed goes back to the system."""

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache

__all__ = ["release_freed"]


def release_freed() -> None:
    """Gives freed memory back, where the C library keeps it (glibc).

    Batches of ever new shapes leave holes between what lives on, and a
    training on the CPU grows by the gigabyte without it. It takes
    milliseconds, and what is needed again is asked for again: call it every
    some ten steps.

    Example
    -------
    >>> release_freed()
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's function; None with other C libraries."""
    name = ctypes.util.find_library("c")
    return getattr(ctypes.CDLL(name), "malloc_trim", None) if name else None
