"""Nesterov's momentum, row by row: it restarts, and it rests after a rise."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.solvers.base import Memory

__all__ = ["rest", "restarted", "start", "weight"]

OFFSET = 3.0
# Steps without momentum after a rise: until the loss is looked at again.
REST = 10.0


def start(memory: Memory, X: Tensor) -> Tensor:
    """The number of steps since each row's restart, [rows, 1]; 0 at first.

    Arguments
    ---------
    memory : dict
        Of the solver; gets "momentum".
    X : Tensor
        The factor, [rows, K].

    Returns
    -------
    Tensor
        Negative where a row rests.
    """
    if "momentum" not in memory:
        memory["momentum"] = X.new_zeros(len(X), 1)
    return memory["momentum"]


def weight(momentum: Tensor) -> Tensor:
    """How far to extrapolate, k / (k + 3); 0 where a row rests."""
    steps = momentum.clamp_min(0)
    return steps / (steps + OFFSET)


def restarted(momentum: Tensor, uphill: Tensor) -> Tensor:
    """The next count of steps, 0 where the momentum points uphill."""
    return torch.where(uphill & (momentum > 0), 0.0, momentum + 1)


def rest(memory: Memory, rows: Tensor) -> None:
    """Takes the momentum of some rows [rows] for a while."""
    memory["momentum"] = torch.where(rows[:, None], -REST, memory["momentum"])
