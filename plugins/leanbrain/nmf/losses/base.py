"""What a loss is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Scratch, blocks

__all__ = ["Loss", "least_gain", "row_losses"]

# A loss below this share of the frame's level is as good as zero.
EXPLAINED = 1e-3


@dataclass(frozen=True)
class Loss:
    """A divergence D(V | P) between spectra and their approximation P = H W'.

    Arguments
    ---------
    name : str
        As users write it.
    degree : int
        D(c V | c P) = c ** degree * D(V | P).
    half : type[Half]
        The problem in one factor.
    rows : Callable
        `rows(V, P, out)` returns the loss of every row, float64; may
        overwrite P and `out`.
    level : Callable
        `level(V)` returns what a frame's loss is small or large against,
        float64 [N].
    split : Callable
        `split(V, H, W)` returns the negative and positive part of the
        gradient in H, [N, K], as plain expressions that autograd follows.
    power : float
        Exponent of the multiplicative step with which the loss cannot rise.
    w_first : bool
        Which factor the published algorithms update first.
    l1_rescales : bool
        Whether a weight of sum(H) only divides H by a number where atoms sum
        to one, so that sum(H) is that of P.
    """

    name: str
    degree: int
    half: type[Half]
    rows: Callable[[Tensor, Tensor, Tensor], Tensor]
    level: Callable[[Tensor], Tensor]
    split: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    power: float = 1.0
    w_first: bool = False
    l1_rescales: bool = False


def row_losses(
    loss: Loss, V: Tensor, H: Tensor, W: Tensor, scratch: Scratch
) -> Tensor:
    """The loss of every frame, without penalties.

    Arguments
    ---------
    loss : Loss
        Which.
    V, H, W : Tensor
        Shapes [N, F], [N, K] and [F, K].
    scratch : Scratch
        Work space for blocks of V.

    Returns
    -------
    Tensor
        Shape [N], float64: summed in float64 whatever V's type is, since
        the differences that decide about a step are far below the sum.
    """
    total = torch.empty(len(V), dtype=torch.float64, device=V.device)
    for block in blocks(V, scratch.rows):
        P, out = scratch.pair(block.stop - block.start)
        torch.mm(H[block], W.T, out=P)
        total[block] = loss.rows(V[block], P, out)
    return total


def least_gain(
    now: Tensor, level: Tensor, tol: float, dtype: torch.dtype
) -> Tensor:
    """What `CHECK_EVERY` iterations must gain to be followed by more.

    Arguments
    ---------
    now : Tensor
        Losses, float64.
    level : Tensor
        Of the frames, as `Loss.level` gives it.
    tol : float
        Relative gain.
    dtype : torch.dtype
        Of V; below its rounding a gain is none.

    Returns
    -------
    Tensor
        Of `now`'s shape.
    """
    wanted = tol * torch.maximum(now.abs(), EXPLAINED * level)
    return torch.maximum(wanted, 16 * torch.finfo(dtype).eps * level)
