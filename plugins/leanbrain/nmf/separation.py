"""Masks that share a mixture out among its sources."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import check_positive

__all__ = ["wiener_masks"]


def wiener_masks(parts: Tensor, exponent: float = 1.0) -> Tensor:
    """Shares of the sources in every bin.

    Arguments
    ---------
    parts : Tensor
        Estimated spectra, a source per entry of the first axis, >= 0.
    exponent : float
        Of the spectra: 2 on magnitudes makes Wiener filters of them.

    Returns
    -------
    Tensor
        Of the same shape, in [0, 1]; they sum to one over the first axis,
        also where all parts are 0.

    Example
    -------
    >>> wiener_masks(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor([[0.2500, 0.5000],
            [0.7500, 0.5000]])
    """
    exponent = check_positive("exponent", exponent)
    loudest = parts.amax(0, keepdim=True)
    # Powers of numbers up to one: nothing overflows, the sum is >= 1.
    share = torch.where(loudest > 0, parts / loudest, 1.0).pow(exponent)
    return share / share.sum(0, keepdim=True)
