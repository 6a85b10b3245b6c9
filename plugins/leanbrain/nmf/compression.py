"""What is done to activations before a network sees them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["decibel", "identity", "log1p", "root"]


def log1p(H: Tensor, gain: float = 1.0) -> Tensor:
    """log(1 + gain * H): linear where H is small, >= 0.

    Arguments
    ---------
    H : Tensor
        Activations >= 0, [B, T, K].
    gain : float
        What counts as small: 1 / gain.

    Returns
    -------
    Tensor
        Of H's shape.

    Example
    -------
    >>> log1p(torch.tensor([0.0]))
    tensor([0.])
    """
    return torch.log1p(gain * H)


def root(H: Tensor, exponent: float = 1 / 3, floor: float = 1e-6) -> Tensor:
    """H ** exponent, for exponents < 1: no gain to choose.

    Arguments
    ---------
    H : Tensor
        Activations >= 0.
    exponent : float
        In (0, 1].
    floor : float
        Added to H, since a root has no finite slope at 0.

    Returns
    -------
    Tensor
        Of H's shape.

    Example
    -------
    >>> root(torch.tensor([8.0]), floor=0.0)
    tensor([2.])
    """
    return (H + floor).pow(exponent)


def decibel(H: Tensor, floor: float = 1e-3) -> Tensor:
    """20 * log10(H + floor), of activations of magnitudes.

    SpeechBrain's Fbank clips below the loudest 80 dB of an utterance; that
    needs the whole utterance, so that here a constant bounds it instead.

    Arguments
    ---------
    H : Tensor
        Activations >= 0.
    floor : float
        In the units of H; -60 dB by default.

    Returns
    -------
    Tensor
        Of H's shape.

    Example
    -------
    >>> decibel(torch.tensor([10.0]))
    tensor([20.0009])
    """
    return 20 * torch.log10(H + floor)


def identity(H: Tensor) -> Tensor:
    """H as it is.

    Arguments
    ---------
    H : Tensor
        Activations.

    Returns
    -------
    Tensor
        The same.
    """
    return H
