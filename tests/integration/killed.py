"""Runs a script that is killed (SIGKILL) in the midst of its second checkpoint.

    killed.py <script> <arguments>

Each time at the same moment, however busy the machine is.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from leanbrain import checkpointing

publish = checkpointing._published
saved = []


def dying(checkpoint):
    """The first one is complete; the second has all files, not its name."""
    if saved:
        os.kill(os.getpid(), signal.SIGKILL)
    saved.append(checkpoint)
    return publish(checkpoint)


if __name__ == "__main__":
    checkpointing._published = dying
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
