"""Half the squared Frobenius norm: sum (V - P) ** 2 / 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Rows, Terms
from leanbrain.nmf.losses.base import Loss

__all__ = ["FROBENIUS", "FrobeniusHalf"]


class FrobeniusHalf(Half):
    """Least squares: V is touched once, every step then costs K ** 2 a row."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        V, Y = self.side.V, self.side.Y
        rows = isinstance(self.side, Rows)
        # Few columns on the left of a product are faster than on the right,
        # but how it rounds then depends on the number of frames. Neither
        # product needs scratch or blocks.
        self.linear = V @ Y if rows else (Y.T @ V).T
        self.gram = Y.T @ Y
        self._scaled: tuple[float, Tensor, Tensor] | None = None

    def terms(self, X: Tensor, ones: bool = False) -> Terms:
        """Gradient and curvature; no product with V's size."""
        pos = X @ self.gram
        hess = self.gram.sum(0, keepdim=True).expand_as(X)
        if self.l1 is not None:
            pos = pos + self.l1
        if self.l2 is not None:
            pos, hess = pos + self.l2 * X, hess + self.l2
        return Terms(self.linear, pos, own=pos, ones=hess)

    def majorised_step(self, X: Tensor, gamma: float) -> Tensor:
        """As for any loss, in one pass: here a step is cheap but for that."""
        if self.l1 is not None or self.l2 is not None:
            return super().majorised_step(X, gamma)
        if self._scaled is None or self._scaled[0] != gamma:
            length = gamma / self.gram.sum(0, keepdim=True)
            self._scaled = (gamma, self.linear * length, self.gram * length)
        _, linear, gram = self._scaled
        return torch.addmm(linear, X, gram, alpha=-1).add_(X)


def frobenius_rows(V: Tensor, P: Tensor, out: Tensor) -> Tensor:
    """Half the squared distance of every row, float64."""
    torch.sub(V, P, out=out)
    return out.square_().sum(1).double() / 2


def frobenius_split(V: Tensor, H: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """Both parts of the gradient in H, for autograd."""
    return V @ W, H @ (W.T @ W)


def frobenius_level(V: Tensor) -> Tensor:
    """The loss of every row had nothing been explained."""
    return V.double().square().sum(1) / 2


FROBENIUS = Loss(
    "frobenius",
    degree=2,
    half=FrobeniusHalf,
    rows=frobenius_rows,
    level=frobenius_level,
    split=frobenius_split,
)
