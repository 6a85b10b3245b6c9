"""One factor of V ~ H W' at a time: what pulls it up and what pulls it down.

Inside the package frames come first: V [N, F], H [N, K], W [F, K], so that a
block of frames is contiguous and every frame is a row. With one factor fixed,
the loss is separable over the rows of the other: over frames for H, over
frequency bins for W.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leanbrain.threads import Threads, threads_on

__all__ = [
    "Columns",
    "Half",
    "Rows",
    "Scratch",
    "Terms",
    "blocks",
    "threads_for",
]

# Elements of V that are worked on at once: a megabyte in float32, so that a
# block and the scratch it is worked on with stay in a processor's cache.
BLOCK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 26}


@dataclass
class Terms:
    """The gradient of the loss in one factor X, split, and its curvature.

    Arguments
    ---------
    neg : Tensor
        The negative part of the gradient, >= 0, of X's shape.
    pos : Tensor
        The positive part, > 0; broadcasts to X's shape.
    own : Tensor
        Hessian times X, the majoriser of MUSOM.
    ones : Tensor | None
        Hessian times a vector of ones, the majoriser of fastMU (mSOM).
    quad : Tensor | None
        Weight of a term `quad * X ** 2 / 2` that is not in `pos`.
    power : float
        Exponent of the multiplicative step with which the loss cannot rise.
    """

    neg: Tensor
    pos: Tensor
    own: Tensor
    ones: Tensor | None = None
    quad: Tensor | None = None
    power: float = 1.0


class Scratch:
    """Two reused work matrices [rows, F]: fresh ones cost page faults."""

    def __init__(self, V: Tensor) -> None:
        self.rows = block_rows(V)
        size = (2, min(self.rows, len(V)), V.shape[1])
        self._pair = V.new_empty(size)

    def pair(self, rows: int) -> tuple[Tensor, Tensor]:
        """Two matrices [rows, F] of undefined content."""
        return self._pair[0, :rows], self._pair[1, :rows]


def block_rows(V: Tensor) -> int:
    """How many frames of V make a block."""
    elements = BLOCK_ELEMENTS.get(V.device.type, BLOCK_ELEMENTS["cuda"])
    # Whatever the number of threads: results are the same to the last bit.
    return max(64, elements // max(1, V.shape[1]))


def threads_for(V: Tensor, atoms: int) -> Threads:
    """The threads of torch for the work on V, block by block.

    Arguments
    ---------
    V : Tensor
        Spectra as rows.
    atoms : int
        Columns of W.

    Returns
    -------
    Threads
        To be entered; one thread where V is on a GPU.
    """
    return threads_on(V, min(V.numel(), BLOCK_ELEMENTS["cpu"]) * atoms)


def blocks(V: Tensor, rows: int) -> Iterator[slice]:
    """Slices of consecutive frames."""
    for start in range(0, len(V), rows):
        yield slice(start, min(start + rows, len(V)))


class Projection(ABC):
    """Which of the two factors moves: X, the other is Y."""

    def __init__(self, V: Tensor, Y: Tensor, scratch: Scratch) -> None:
        self.V, self.Y, self.scratch = V, Y, scratch

    @abstractmethod
    def model(self, X: Tensor, block: slice, out: Tensor) -> Tensor:
        """The approximation H W' of a block, [n, F], written to `out`."""

    @abstractmethod
    def start(self, X: Tensor) -> Tensor:
        """An empty result of ``add``."""

    @abstractmethod
    def add(self, total: Tensor, G: Tensor, Y: Tensor, block: slice) -> None:
        """Adds weights G [n, F] of a block, projected on Y, to a result."""

    def blocks(self) -> Iterator[slice]:
        """The blocks of V."""
        return blocks(self.V, self.scratch.rows)


class Rows(Projection):
    """X is H [N, K], a row per frame; Y is W [F, K]."""

    def model(self, X: Tensor, block: slice, out: Tensor) -> Tensor:
        """The approximation H W' of a block, [n, F], written to `out`."""
        return torch.mm(X[block], self.Y.T, out=out)

    def start(self, X: Tensor) -> Tensor:
        """An empty result of ``add``."""
        return torch.empty_like(X)

    def add(self, total: Tensor, G: Tensor, Y: Tensor, block: slice) -> None:
        """Writes the rows of a block: they depend on no other block."""
        torch.mm(G, Y, out=total[block])


class Columns(Projection):
    """X is W [F, K]; Y is H [N, K], a row per frame."""

    def model(self, X: Tensor, block: slice, out: Tensor) -> Tensor:
        """The approximation H W' of a block, [n, F], written to `out`."""
        return torch.mm(self.Y[block], X.T, out=out)

    def start(self, X: Tensor) -> Tensor:
        """An empty result of ``add``, columns contiguous."""
        return X.new_zeros(X.shape[1], X.shape[0]).T

    def add(self, total: Tensor, G: Tensor, Y: Tensor, block: slice) -> None:
        """Adds the contribution of a block of frames."""
        # Few columns on the left are up to a third faster than on the right.
        total.T.addmm_(Y[block].T, G)


class Half(ABC):
    """The problem in one factor X with the other, Y, fixed; one per loss.

    Arguments
    ---------
    side : Projection
        ``Rows`` for H, ``Columns`` for W.
    l1 : Tensor | None
        Weight of the sum of X; broadcasts to X's shape.
    l2 : Tensor | None
        Weight of half the sum of squares; broadcasts to X's shape.
    """

    def __init__(
        self, side: Projection, l1: Tensor | None, l2: Tensor | None
    ) -> None:
        self.side, self.l1, self.l2 = side, l1, l2

    @abstractmethod
    def terms(self, X: Tensor, ones: bool = False) -> Terms:
        """Gradient and curvature at X; `ones` asks for fastMU's majoriser."""

    def majorised_step(self, X: Tensor, gamma: float) -> Tensor:
        """X - gamma * gradient / (Hessian @ 1), the step of fastMU."""
        terms = self.terms(X, ones=True)
        down, curvature = terms.pos, terms.ones
        assert curvature is not None
        if terms.quad is not None:
            down, curvature = down + terms.quad * X, curvature + terms.quad
        return X + gamma * (terms.neg - down) / curvature
