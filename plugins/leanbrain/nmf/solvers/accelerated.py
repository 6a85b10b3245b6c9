"""Accelerated multiplicative updates: momentum that keeps the sign."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import check_fraction
from leanbrain.nmf.half import Half, Terms
from leanbrain.nmf.solvers.base import (
    Memory,
    Solver,
    relaxed,
)
from leanbrain.nmf.solvers.momentum import rest, restarted, start, weight

__all__ = ["Accelerated"]

# A ratio of iterates beyond this, or below its inverse, says that an entry was
# at the floor and nothing about where it goes.
LARGEST = 10.0


class Accelerated(Solver):
    """A relaxed multiplicative step from a point extrapolated by ratios.

    With r = X / X_before the step starts from X * (1 - a + a * r), the
    first order of the geometric extrapolation X * r ** a, which is Nesterov's
    momentum on log X. It stays positive for every a in [0, 1), in contrast to
    X + a * (X - X_before), so that shrinking entries are extrapolated as well
    (BMMe, arXiv 2401.06646, extrapolates the growing ones alone). The
    momentum of a row restarts when it points uphill (O'Donoghue and Candes,
    arXiv 1204.3982). No descent is proved: the guard undoes a rise and gives
    plain multiplicative updates, which cannot rise, the next turn.

    Arguments
    ---------
    relaxation : float
        Length of a multiplicative step, in [1, 2); above 1.3 it diverges on
        speech.
    growing : int
        In the first steps only growing entries are extrapolated: an atom
        that shrinks too early ends in a worse minimum. For learning; encoding
        with a fixed dictionary is convex.

    Example
    -------
    >>> Accelerated(relaxation=2.0)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `relaxation` must be in [1, 2), got 2.0.
    """

    losses = ("kl",)
    guarded = True
    warmup = 3

    def __init__(self, relaxation: float = 1.2, growing: int = 0) -> None:
        self.relaxation = check_fraction(
            "relaxation", relaxation, low=1.0, high=2.0, high_open=True
        )
        self.growing = growing

    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """Extrapolates, takes the relaxed step, restarts where it is uphill."""
        momentum = start(memory, X)
        ahead = self._extrapolate(X, momentum, memory)
        terms = half.terms(ahead)
        # Relaxed, but for rows that rest after a rise.
        length = torch.where(momentum < 0, 1.0, self.relaxation).to(X)
        new = relaxed(ahead, terms, length)
        uphill = _slope(ahead, new - X, terms) > 0
        memory["momentum"] = restarted(momentum, uphill)
        memory["before"] = X
        if self.growing:
            age = memory.get("age", torch.zeros_like(momentum))
            memory["age"] = age + 1
        return new

    def undo(self, memory: Memory, rows: Tensor) -> None:
        """Plain steps for the rows whose loss rose and was put back."""
        rest(memory, rows)

    def _extrapolate(
        self, X: Tensor, momentum: Tensor, memory: Memory
    ) -> Tensor:
        before = memory.get("before")
        if before is None:
            return X
        ratio = (X / before).clamp_(1 / LARGEST, LARGEST)
        if self.growing:
            young = memory["age"] < self.growing
            ratio = torch.where(young, ratio.clamp_min(1), ratio)
        one = ratio.new_ones(())
        return torch.lerp(one, ratio, weight(momentum)).mul_(X)


def _slope(X: Tensor, move: Tensor, terms: Terms) -> Tensor:
    """The derivative of the loss at X along a move, per row."""
    gradient = terms.pos - terms.neg
    if terms.quad is not None:
        gradient = gradient + terms.quad * X
    return gradient.mul_(move).sum(1, keepdim=True)
