"""Multiplicative updates."""

from __future__ import annotations

from torch import Tensor

from leanbrain.nmf.half import Half
from leanbrain.nmf.solvers.base import Memory, Solver, multiplicative

__all__ = ["MU"]


class MU(Solver):
    """Lee and Seung, NIPS 2000; for Itakura-Saito with exponent 1/2.

    Slow and safe: the loss never rises, from any start. The others are
    measured against it.
    """

    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """X * neg / pos."""
        return multiplicative(X, half.terms(X))
