"""Tells dense and pruned checkpoints apart before one is used for the other."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from leanbrain.checks import UserError
from leanbrain.masking.targets import Target

__all__ = [
    "CHECKPOINT_NAME",
    "newest_checkpoint",
    "require_dense",
    "require_pruned",
    "steps_of",
    "warn_if_sparse",
]

logger = logging.getLogger(__name__)

CHECKPOINT_NAME = "pruner"

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


def steps_of(save_folder: StrPath) -> int:
    """Optimizer steps that the newest checkpoint below a save folder had.

    Arguments
    ---------
    save_folder : path
        Of a run whose Brain saves itself, as SpeechBrain's does.

    Returns
    -------
    int

    Raises
    ------
    UserError
        If there is no checkpoint, or none that counts its steps.
    """
    folder = newest_checkpoint(save_folder)
    path = None if folder is None else folder / "brain.ckpt"
    if path is None or not path.is_file():
        raise UserError(
            "A checkpoint must hold brain.ckpt, which counts its steps, got "
            f"{folder or save_folder} without one."
        )
    state = yaml.safe_load(path.read_text(encoding="utf-8"))
    return int(state["optimizer_step"])


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


def warn_if_sparse(targets: Sequence[Target]) -> None:
    """Warns when weights that are to be pruned are largely zero already.

    Arguments
    ---------
    targets : sequence of Target
        The parameters as they are before the first masks.
    """
    counts = [
        (int((t.parameter == 0).sum()), t.parameter.numel()) for t in targets
    ]
    # What is zero altogether was never pruned: adapters begin like that.
    zeros = sum(count for count, size in counts if count < size)
    share = zeros / sum(size for _, size in counts)
    if share > 0.1:
        logger.warning(
            "%.0f %% of the target weights are zero before pruning starts: was"
            " a pruned checkpoint loaded without its %s.ckpt? The values"
            " outside its pathways are lost.",
            100 * share,
            CHECKPOINT_NAME,
        )


def _state_of(folder: Path) -> Path:
    return folder / f"{CHECKPOINT_NAME}.ckpt"
