"""BMMe: block majorisation-minimisation with extrapolation."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half
from leanbrain.nmf.solvers.base import Memory, Solver, multiplicative

__all__ = ["BMMe"]

# The extrapolation ends up summable, which the convergence proof needs.
CAP, DECAY = 1e4, 0.75


class BMMe(Solver):
    """Multiplicative updates from an extrapolated point, arXiv 2401.06646.

    Only growing entries are extrapolated. A row (a frame, a frequency bin)
    is capped by its own norm, not by the matrix's: the problem is separable,
    and a frame's result shall not depend on its neighbours.
    """

    losses = ("kl", "frobenius")

    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """A multiplicative step from X + a * max(X - X_before, 0)."""
        before = memory.get("before", X)
        size = X.new_ones(len(X), 1)
        old, k = memory.get("size", size), memory.get("k", size)
        new = (1 + (1 + 4 * old.square()).sqrt()) / 2
        moved = (X - before).norm(dim=1, keepdim=True).clamp_min(1e-30)
        length = X.norm(dim=1, keepdim=True).clamp_min(1.0)
        cap = CAP * length / (k.pow(DECAY) * moved)
        ahead = X + torch.minimum((old - 1) / new, cap) * (
            (X - before).clamp_min(0)
        )
        memory.update(before=X, size=new, k=k + 1)
        return multiplicative(ahead, half.terms(ahead))
