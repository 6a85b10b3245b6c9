"""Generalised Kullback-Leibler divergence: sum V log(V / P) - V + P."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Terms
from leanbrain.nmf.losses.base import Loss

__all__ = ["KL", "KLHalf"]


class KLHalf(Half):
    """Poisson likelihood; the ratio V / P is never formed squared.

    V / P ** 2 overflows float32 where both are small; (V / P) / P of a floored
    P does not.
    """

    def terms(self, X: Tensor, ones: bool = False) -> Terms:
        """Gradient and curvature; two products with V's size, or three."""
        side, Y = self.side, self.side.Y
        neg = side.start(X)
        hess = side.start(X) if ones else None
        Y_ones = Y * Y.sum(1, keepdim=True) if ones else Y
        for block in side.blocks():
            P, R = side.scratch.pair(block.stop - block.start)
            side.model(X, block, P)
            # In place where P is of no more use: less of the cache.
            R = torch.div(side.V[block], P, out=P if hess is None else R)
            side.add(neg, R, Y, block)
            if hess is not None:
                side.add(hess, R.div_(P), Y_ones, block)
        pos = Y.sum(0, keepdim=True)
        pos = pos if self.l1 is None else pos + self.l1
        return Terms(neg, pos, own=neg, ones=hess, quad=self.l2)


def kl_rows(V: Tensor, P: Tensor, out: Tensor) -> Tensor:
    """The divergence of every row, float64; V = 0 counts P.

    Each element is nearly zero where P is near V, so that rounding stays
    small beside the sum; `sum V log V` minus `sum V log P` would cancel.
    """
    torch.div(V, P, out=out)
    # log 0 * 0 is NaN: the smallest normal number stands for zero.
    out.clamp_min_(torch.finfo(V.dtype).tiny).log_().mul_(V)
    out.add_(P).sub_(V)
    # No element is negative, so that float32 is exact enough within a row.
    return out.sum(1).double()


def kl_split(V: Tensor, H: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """Both parts of the gradient in H, for autograd."""
    neg = (V / (H @ W.T)) @ W
    return neg, W.sum(0, keepdim=True).expand_as(neg)


def kl_level(V: Tensor) -> Tensor:
    """The sum of every row: D(V | c V) is a multiple of it."""
    return V.sum(1, dtype=torch.float64)


KL = Loss(
    "kl",
    degree=1,
    half=KLHalf,
    rows=kl_rows,
    level=kl_level,
    split=kl_split,
    w_first=True,
    # (1 + l1) P - V log P is least where P - V log P is, divided by 1 + l1.
    l1_rescales=True,
)
