"""How far the training of a dictionary is."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a training is; replaced as a whole, batch by batch.

    Arguments
    ---------
    epoch : int
        Epochs completed.
    batch : int
        Batches of the present epoch that have been learnt.
    step : int
        Batches in all.
    total, frames : float
        Divergence of the present epoch so far, before each update, and the
        frames that it is of.
    train, valid : list of float
        Divergence per frame of every epoch.
    best : float
        The lowest validation divergence.
    stale : int
        Epochs since then.
    reason : str
        Why training ended: "patience" or "max_epochs"; empty before.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    total: float = 0.0
    frames: int = 0
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)
    best: float = float("inf")
    stale: int = 0
    reason: str = ""
