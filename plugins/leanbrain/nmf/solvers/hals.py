"""HALS: exact coordinate descent, an atom at a time; plain and accelerated."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half
from leanbrain.nmf.losses.frobenius import FrobeniusHalf
from leanbrain.nmf.solvers.base import EPS, Memory, Solver
from leanbrain.nmf.solvers.momentum import rest, restarted, start, weight

__all__ = ["HALS", "AcceleratedHALS"]


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
        # Atoms as rows: each is read and written as a whole.
        atoms = X.T.contiguous()
        linear = half.linear if half.l1 is None else half.linear - half.l1
        bend = half.gram.diagonal().clamp_min(1e-30)
        if half.l2 is None:
            down = (linear / bend).T.contiguous().unbind()
            gram = (half.gram / bend[:, None]).unbind()
            for atom, pull, row in zip(atoms, down, gram, strict=True):
                move = torch.addmv(pull, atoms.T, row, alpha=-1)
                atom.add_(move).clamp_min_(EPS)
            return atoms.T
        l2 = half.l2.expand_as(X).T
        for k, atom in enumerate(atoms):
            move = linear[:, k] - half.gram[k] @ atoms - l2[k] * atom
            atom.add_(move / (bend[k] + l2[k])).clamp_min_(EPS)
        return atoms.T


class AcceleratedHALS(HALS):
    """A sweep from an extrapolated point, X + a * (X - X_before).

    After Ang and Gillis (arXiv 1805.06604), with Nesterov's a = k / (k + 3)
    per row, restarted where the step goes back on the move before it
    (O'Donoghue and Candes, arXiv 1204.3982); the guard undoes a rise.
    """

    guarded = True

    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """Extrapolates, sweeps, restarts where it is uphill."""
        momentum = start(memory, X)
        before = memory.get("before", X)
        ahead = torch.addcmul(X, weight(momentum), X - before).clamp_min_(EPS)
        new = super().step(half, ahead, memory)
        uphill = ((ahead - new) * (new - X)).sum(1, keepdim=True) > 0
        memory["momentum"] = restarted(momentum, uphill)
        memory["before"] = X
        return new

    def undo(self, memory: Memory, rows: Tensor) -> None:
        """Plain sweeps for the rows whose loss rose and was put back."""
        rest(memory, rows)
