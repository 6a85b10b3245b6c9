"""Freed memory goes back to the system."""

import sys
from pathlib import Path

import pytest

from leanbrain.memory import release_freed

KIB = 1024


def resident():
    """Bytes of the process that are in memory."""
    text = Path("/proc/self/status").read_text()
    return KIB * int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_holes_between_what_lives_on_are_given_back():
    blocks = [bytearray(60_000) for _ in range(4000)]
    kept = blocks[::20]
    full = resident()
    del blocks
    release_freed()
    assert resident() < full - 150_000_000
    assert len(kept) == 200
