"""Powers of two that bring spectra and atoms near one, and penalties along.

A power of two changes no digit. Only the floor of the solvers, an absolute
number, would otherwise depend on how loud a recording is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.losses import Loss

__all__ = ["penalty_weights", "power_of_two"]


def power_of_two(level: Tensor) -> Tensor:
    """The power of two next below each level; 1 for levels of 0.

    Arguments
    ---------
    level : Tensor
        Numbers >= 0.

    Returns
    -------
    Tensor
        Of the same shape.

    Example
    -------
    >>> power_of_two(torch.tensor([0.0, 0.3, 1.0, 5.0]))
    tensor([1.0000, 0.2500, 1.0000, 4.0000])
    """
    _, exponent = torch.frexp(level)
    # Denormal levels stay denormal after scaling by 2 ** 126; that is silence.
    exponent = (exponent - 1).clamp(-120, 120)
    return torch.where(
        level > 0,
        torch.ldexp(torch.ones_like(level), exponent),
        torch.ones_like(level),
    )


def penalty_weights(
    loss: Loss, l1: float, l2: float, scale: Tensor, atoms: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Weights of l1 and l2 when V is divided by `scale`, W by `atoms`.

    With V = scale * V', W = W' * atoms and so H = H' * scale / atoms, the
    problem divided by scale ** degree has these weights on H'.

    Arguments
    ---------
    loss : Loss
        Its degree says how the divergence scales.
    l1, l2 : float
        Weights of sum(H) and of sum(H ** 2) / 2.
    scale : Tensor
        Of V: a number, or one per frame [N, 1].
    atoms : Tensor
        Column sums of W, [1, K].

    Returns
    -------
    tuple
        Both weights, None for zero; broadcast to [N, K].
    """
    first = l1 * scale ** (1 - loss.degree) / atoms if l1 else None
    second = l2 * scale ** (2 - loss.degree) / atoms.square() if l2 else None
    return first, second
