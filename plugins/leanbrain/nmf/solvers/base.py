"""What a solver is: a rule that moves one factor while the other is fixed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Terms

__all__ = ["EPS", "Memory", "Solver", "multiplicative", "relaxed"]

# The floor of both factors, of V scaled to a maximum of one. It keeps every
# quotient finite in float32 (below about 1e-9, V / WH can overflow), lets an
# atom that has vanished come back, and is far above the denormals on which
# processors are up to thirty times slower.
EPS = 1e-8

# What a solver remembers of a factor between steps, tensors with a row per
# row of the factor: frames that have converged leave with theirs.
Memory = dict[str, Tensor]


class Solver(ABC):
    """Moves one factor X >= 0 of V ~ H W'; to write one, override ``step``.

    Attributes
    ----------
    losses : tuple of str
        What it can minimise.
    inner : int
        Steps on one factor before the other's turn, when both are learnt.
    guarded : bool
        Whether the loss is looked at every few iterations and a rise undone.
    warmup : int
        Iterations of plain multiplicative updates before, in learning.
    delta : float
        A factor's inner steps end when one moves it, in squared norm, less
        than this share of what the first did.
    """

    losses: tuple[str, ...] = ("kl", "frobenius", "is")
    inner: int = 1
    guarded: bool = False
    warmup: int = 0
    delta: float = 0.0

    @abstractmethod
    def step(self, half: Half, X: Tensor, memory: Memory) -> Tensor:
        """The next iterate, not yet floored.

        Arguments
        ---------
        half : Half
            Gradient and curvature; `half.terms(X)`.
        X : Tensor
            The iterate, [rows, K], >= EPS.
        memory : dict
            Empty at first, kept between the calls for one factor.

        Returns
        -------
        Tensor
            Of X's shape and not X itself; the caller takes max(., EPS), in
            place.
        """

    def undo(self, memory: Memory, rows: Tensor) -> None:
        """Told which rows [rows] were put back; of guarded solvers only."""
        raise NotImplementedError


def multiplicative(X: Tensor, terms: Terms) -> Tensor:
    """The step of multiplicative updates, with which no loss rises.

    Arguments
    ---------
    X : Tensor
        The iterate.
    terms : Terms
        At the iterate.

    Returns
    -------
    Tensor
        `X * (neg / pos) ** power`; with a quadratic penalty outside `pos`,
        the positive root of `quad * x ** 2 + pos * x = X * neg`.
    """
    if terms.quad is not None:
        up = X * terms.neg
        root = (terms.pos.square() + 4 * terms.quad * up).sqrt()
        # This form of the root does not cancel where `quad` is small.
        return 2 * up / (terms.pos + root)
    ratio = terms.neg / terms.pos
    return X * (ratio if terms.power == 1.0 else ratio.pow(terms.power))


def relaxed(X: Tensor, terms: Terms, length: Tensor) -> Tensor:
    """A multiplicative step, `length` times as far; keeps 1 % of X.

    Arguments
    ---------
    X : Tensor
        The iterate, [rows, K].
    terms : Terms
        At the iterate.
    length : Tensor
        Per row, [rows, 1]; 1 is the step of ``multiplicative``.

    Returns
    -------
    Tensor
        Of X's shape, a fresh one.
    """
    if terms.quad is None and terms.power == 1.0:
        factor = terms.neg / terms.pos
    else:
        factor = multiplicative(X, terms) / X
    one = factor.new_ones(())
    return torch.lerp(one, factor, length).clamp_min_(0.01).mul_(X)
