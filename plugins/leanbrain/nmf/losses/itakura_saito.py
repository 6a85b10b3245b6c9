"""Itakura-Saito divergence: sum V / P - log(V / P) - 1, for power spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Terms
from leanbrain.nmf.losses.base import Loss

__all__ = ["ITAKURA_SAITO", "ItakuraSaitoHalf"]


class ItakuraSaitoHalf(Half):
    """Not convex in P: only the multiplicative step, damped, is safe.

    The exponent 1/2 is that of the majorisation-minimisation algorithm
    (Fevotte and Idier, Neural Computation 2011, arXiv 1010.1763).
    """

    def terms(self, X: Tensor, ones: bool = False) -> Terms:
        """Gradient; `ones` is refused by the table of solvers."""
        side, Y = self.side, self.side.Y
        neg, pos = side.start(X), side.start(X)
        for block in side.blocks():
            P, R = side.scratch.pair(block.stop - block.start)
            side.model(X, block, P)
            torch.div(side.V[block], P, out=R)
            side.add(neg, R.div_(P), Y, block)
            side.add(pos, P.reciprocal_(), Y, block)
        pos = pos if self.l1 is None else pos + self.l1
        return Terms(neg, pos, own=pos, power=0.5)


def itakura_saito_rows(V: Tensor, P: Tensor, out: Tensor) -> Tensor:
    """The divergence of every row, float64; V must be > 0."""
    torch.div(V, P, out=out)
    return (
        torch.sub(out, P.copy_(out).log_()).sub_(1).sum(1, dtype=torch.float64)
    )


def itakura_saito_split(
    V: Tensor, H: Tensor, W: Tensor
) -> tuple[Tensor, Tensor]:
    """Both parts of the gradient in H, for autograd."""
    inverse = 1 / (H @ W.T)
    return (V * inverse.square()) @ W, inverse @ W


def itakura_saito_level(V: Tensor) -> Tensor:
    """The number of bins: every bin counts the same, however loud."""
    return torch.full_like(V[:, 0], V.shape[1], dtype=torch.float64)


ITAKURA_SAITO = Loss(
    "is",
    degree=0,
    half=ItakuraSaitoHalf,
    rows=itakura_saito_rows,
    level=itakura_saito_level,
    split=itakura_saito_split,
    power=0.5,
)
