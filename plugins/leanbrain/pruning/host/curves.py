"""Where the curves of a pruned run go, if its recipe says nothing of it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leanbrain.pruning.monitor.monitor import PruningMonitor

__all__ = ["curves_folder", "listen", "own_monitor"]

FOLDER = "tensorboard_pruning"
SAVES = "save"  # as recipes call the folder of their checkpoints


def curves_folder(checkpointer: Any, hparams: Any = None) -> Path | None:
    """Finds the place beside the recipe's own log.

    Arguments
    ---------
    checkpointer : Checkpointer or None
        Of the recipe; its folder is mostly below the one of the log.
    hparams : namespace or None
        With the recipe's `output_folder`, if it has one.

    Returns
    -------
    Path or None
        None if neither says where the run is kept.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> saves = SimpleNamespace(checkpoints_dir="results/crdnn/save")
    >>> curves_folder(saves).as_posix()
    'results/crdnn/tensorboard_pruning'
    >>> curves_folder(None, SimpleNamespace(output_folder="x")).as_posix()
    'x/tensorboard_pruning'
    """
    output = getattr(hparams, "output_folder", None)
    if isinstance(output, str | Path):
        return Path(output) / FOLDER
    if checkpointer is None:
        return None
    folder = Path(checkpointer.checkpoints_dir)
    return (folder.parent if folder.name == SAVES else folder) / FOLDER


def own_monitor(
    checkpointer: Any, hparams: Any = None
) -> PruningMonitor | None:
    """Makes the monitor of a run that was given none.

    Arguments
    ---------
    checkpointer, hparams
        See `curves_folder`.

    Returns
    -------
    PruningMonitor or None
        None if the run has no folder.
    """
    folder = curves_folder(checkpointer, hparams)
    if folder is None:
        return None
    from leanbrain.loggers import TensorBoardLogger
    from leanbrain.pruning.monitor.monitor import PruningMonitor

    return PruningMonitor(
        TensorBoardLogger(folder), pictures=False, owns_logger=True
    )


def listen() -> None:
    """Lets our own messages be seen, also in a script without logging."""
    ours = logging.getLogger("leanbrain")
    ours.setLevel(logging.INFO)
    if not any(isinstance(x, _UntilConfigured) for x in ours.handlers):
        ours.addHandler(_UntilConfigured())


class _UntilConfigured(logging.StreamHandler):  # type: ignore[type-arg]
    """Is silent once the script has set up its own logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints to standard error."""
        if not logging.getLogger().handlers:
            self.stream = sys.stderr  # as it is now
            super().emit(record)
