"""Tells dense and pruned checkpoints apart before one is used for the other."""

from __future__ import annotations

import os
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.pruning.attach import CHECKPOINT_NAME

__all__ = ["newest_checkpoint", "require_dense", "require_pruned"]

StrPath = str | os.PathLike[str]


def newest_checkpoint(save_folder: StrPath) -> Path | None:
    """The folder of the newest checkpoint below a save folder, or None.

    Example
    -------
    >>> newest_checkpoint("/nowhere") is None
    True
    """
    from speechbrain.utils.checkpoints import Checkpointer

    if not Path(save_folder).is_dir():
        return None
    found = Checkpointer(save_folder).find_checkpoint()
    return None if found is None else Path(found.path)


def require_dense(save_folder: StrPath) -> None:
    """Refuses a save folder whose newest checkpoint was pruned.

    Continuing it without its pruner would fill the zeros again, silently.
    """
    folder = newest_checkpoint(save_folder)
    if folder is not None and _state_of(folder).exists():
        raise UserError(
            "A dense run must start from a dense checkpoint, got one with "
            f"{_state_of(folder).name} in {folder}."
        )


def require_pruned(save_folder: StrPath) -> None:
    """Refuses a save folder whose newest checkpoint has no pruner's state."""
    folder = newest_checkpoint(save_folder)
    if folder is not None and not _state_of(folder).exists():
        raise UserError(
            "A pruned run must continue from a pruned checkpoint (name a "
            "dense one as the start instead), got one without "
            f"{_state_of(folder).name} in {folder}."
        )


def _state_of(folder: Path) -> Path:
    return folder / f"{CHECKPOINT_NAME}.ckpt"
