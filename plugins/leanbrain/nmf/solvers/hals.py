"""HALS: exact coordinate descent, an atom at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half
from leanbrain.nmf.losses.frobenius import FrobeniusHalf
from leanbrain.nmf.solvers.base import EPS, Memory, Solver

__all__ = ["HALS"]


class HALS(Solver):
    """Hierarchical alternating least squares, Cichocki and Phan, 2009.

    scikit-learn's "cd". Every atom's activations are set to their optimum
    given those of all others; least squares only.
    """

    losses = ("frobenius",)
    warmup = 1

    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """One sweep over the atoms."""
        assert isinstance(half, FrobeniusHalf)
        X = X.clone()
        curvature = half.gram.diagonal().clamp_min(1e-30)
        l2 = _columns(half.l2, X)
        l1 = _columns(half.l1, X)
        for k in range(X.shape[1]):
            down = torch.mv(X, half.gram[k])
            bend = curvature[k]
            if l1 is not None:
                down = down + l1[:, k]
            if l2 is not None:
                down, bend = down + l2[:, k] * X[:, k], bend + l2[:, k]
            move = (half.linear[:, k] - down) / bend
            X[:, k] = (X[:, k] + move).clamp_min(EPS)
        return X


def _columns(weight: Tensor | None, X: Tensor) -> Tensor | None:
    return None if weight is None else weight.expand_as(X)
