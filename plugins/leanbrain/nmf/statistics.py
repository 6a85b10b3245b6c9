"""What mini-batches leave behind, and the dictionary that follows from it.

Pure functions of sums over frames. The sums are enough to update W, so that
no activation of an earlier batch has to be kept: Serizel, Essid and Richard
(hal-01393964) for the multiplicative updates, Lefevre, Bach and Fevotte (arXiv
1106.4198) for Itakura-Saito, Mairal et al. (JMLR 2010) for least squares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from leanbrain.nmf.half import Columns, Scratch
from leanbrain.nmf.losses import Loss
from leanbrain.nmf.solvers.base import EPS

__all__ = [
    "STATISTICS",
    "LeastSquares",
    "Multiplicative",
    "Statistics",
    "Sums",
    "sum_to_one",
]

# Sweeps over the atoms in an update for least squares, each of F * K ** 2
# operations: no frame is touched.
SWEEPS = 3
TINY = 1e-30


@dataclass(frozen=True)
class Sums:
    """Sums over frames, decayed.

    Arguments
    ---------
    first, second : Tensor
        Numerator and denominator of the update, both [F, K]; for least
        squares V'H [F, K] and H'H [K, K].
    use : Tensor
        Sum of the activations of every atom, [K].
    """

    first: Tensor
    second: Tensor
    use: Tensor

    def decayed(self, keep: float, new: Sums) -> Sums:
        """`keep` times these sums, plus new ones."""
        return Sums(
            keep * self.first + new.first,
            keep * self.second + new.second,
            keep * self.use + new.use,
        )


class Statistics(ABC):
    """What is summed for a loss, and how W follows."""

    square = False

    def empty(self, bins: int, atoms: int) -> Sums:
        """Sums over no frame."""
        rows = atoms if self.square else bins
        return Sums(
            torch.zeros(bins, atoms),
            torch.zeros(rows, atoms),
            torch.zeros(atoms),
        )

    @abstractmethod
    def gather(self, V: Tensor, H: Tensor, W: Tensor, loss: Loss) -> Sums:
        """The sums of a mini-batch.

        Arguments
        ---------
        V : Tensor
            Frames as rows, [N, F].
        H : Tensor
            Their activations, [N, K].
        W : Tensor
            The dictionary that gave them, [F, K].
        loss : Loss
            What is minimised.

        Returns
        -------
        Sums
            Over the N frames.
        """

    @abstractmethod
    def update(self, W: Tensor, sums: Sums) -> Tensor:
        """W after an update, floored, columns not normalised."""

    @abstractmethod
    def rescaled(self, sums: Sums, c: Tensor) -> Sums:
        """The sums had W been divided by c [K], and H multiplied."""

    @abstractmethod
    def planted(self, sums: Sums, k: int, atom: Tensor) -> Sums:
        """The sums had atom k been `atom` [F] and used as most are."""


class Multiplicative(Statistics):
    """W <- (A / B) ** power, with A = W ** (1 / power) * neg and B = pos.

    With sums over one batch alone this is W * (neg / pos) ** power, the plain
    multiplicative update.
    """

    def gather(self, V: Tensor, H: Tensor, W: Tensor, loss: Loss) -> Sums:
        """Numerator and denominator of the multiplicative update."""
        half = loss.half(Columns(V, H, Scratch(V)), None, None)
        terms = half.terms(W)
        first = W.pow(1 / loss.power) * terms.neg
        return Sums(first, terms.pos.expand_as(W).clone(), H.sum(0))

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def update(self, W: Tensor, sums: Sums) -> Tensor:
        """Of atoms that were never used: as they are."""
        ratio = sums.first / sums.second.clamp_min(TINY)
        new = ratio if self.power == 1.0 else ratio.pow(self.power)
        return torch.where(sums.use > TINY, new, W).clamp_min(EPS)

    def rescaled(self, sums: Sums, c: Tensor) -> Sums:
        """A by c ** (1 - 1 / power), B by c."""
        first = sums.first * c.pow(1 - 1 / self.power)
        return Sums(first, sums.second * c, sums.use * c)

    def planted(self, sums: Sums, k: int, atom: Tensor) -> Sums:
        """Column k from the mean of the others."""
        first, second, use = (
            x.clone() for x in (sums.first, sums.second, sums.use)
        )
        second[:, k] = second.mean(1)
        first[:, k] = atom.pow(1 / self.power) * second[:, k]
        use[k] = use.mean()
        return Sums(first, second, use)


class LeastSquares(Statistics):
    """Coordinate descent on W, an atom at a time."""

    square = True

    def gather(self, V: Tensor, H: Tensor, W: Tensor, loss: Loss) -> Sums:
        """V'H and H'H."""
        return Sums(V.T @ H, H.T @ H, H.sum(0))

    def update(self, W: Tensor, sums: Sums) -> Tensor:
        """Every atom is set to its optimum given all others."""
        W = W.clone()
        for _ in range(SWEEPS):
            for k in range(W.shape[1]):
                bend = sums.second[k, k]
                move = sums.first[:, k] - torch.mv(W, sums.second[k])
                step = W[:, k] + move / bend.clamp_min(TINY)
                W[:, k] = torch.where(bend > TINY, step, W[:, k]).clamp_min(EPS)
        return W

    def rescaled(self, sums: Sums, c: Tensor) -> Sums:
        """V'H by c, H'H by c on both sides."""
        second = sums.second * c * c[:, None]
        return Sums(sums.first * c, second, sums.use * c)

    def planted(self, sums: Sums, k: int, atom: Tensor) -> Sums:
        """As if atom k had explained frames of its own."""
        first, second, use = (
            x.clone() for x in (sums.first, sums.second, sums.use)
        )
        power = second.diagonal().mean()
        second[k], second[:, k] = 0.0, 0.0
        second[k, k] = power
        first[:, k] = atom * power
        use[k] = use.mean()
        return Sums(first, second, use)


def sum_to_one(W: Tensor) -> tuple[Tensor, Tensor]:
    """Atoms [F, K] whose columns sum to one, and the sums [K] they had."""
    c = W.sum(0)
    return W / c, c


# By the loss's name; a new loss needs a line.
STATISTICS: dict[str, Statistics] = {
    "kl": Multiplicative(),
    "frobenius": LeastSquares(),
    "is": Multiplicative(power=0.5),
}
