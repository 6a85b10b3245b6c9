"""Curves and pictures of a dictionary in training, for TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.nmf.progress import Progress

if TYPE_CHECKING:
    from leanbrain.nmf.dictionary import NMFDictionary

__all__ = ["TrainingLog"]


class TrainingLog:
    """Writes what a training reports; nothing without a logger.

    Arguments
    ---------
    logger : TensorBoardLogger | None
        Has `add_scalar` and `add_figure`.

    Raises
    ------
    UserError
        If it lacks one of them.
    """

    def __init__(self, logger: Any) -> None:
        for name in ("add_scalar", "add_figure"):
            if logger is not None and not hasattr(logger, name):
                raise UserError(
                    "`logger` must be a TensorBoardLogger of leanbrain or "
                    f"have its method {name}, got {type(logger).__name__}."
                )
        self.logger = logger

    def batch(self, divergence: float, step: int) -> None:
        """The divergence per frame of a batch."""
        if self.logger is not None:
            self.logger.add_scalar("train/divergence", divergence, step)

    def epoch(self, dictionary: NMFDictionary, progress: Progress) -> None:
        """The validation, and the atoms with their use."""
        if self.logger is None:
            return
        from leanbrain.nmf.plots import atoms_figure, use_figure

        step = progress.step
        if progress.valid:
            self.logger.add_scalar("valid/divergence", progress.valid[-1], step)
        self.logger.add_scalar(
            "dictionary/dead_atoms", len(dictionary.dead_atoms()), step
        )
        self.logger.add_scalar(
            "dictionary/reseeded_atoms", dictionary.reseeded, step
        )
        self.logger.add_figure(
            "dictionary/atoms",
            atoms_figure(dictionary.atoms, blocks=dictionary.blocks),
            step,
        )
        self.logger.add_figure(
            "dictionary/use",
            use_figure(dictionary.share, blocks=dictionary.blocks),
            step,
        )
