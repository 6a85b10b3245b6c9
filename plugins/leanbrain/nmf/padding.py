"""What stands in the padding of features while neighbours are looked at."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["extended", "silenced"]


def silenced(feats: Tensor, valid: Tensor | None) -> Tensor:
    """Zeros in the padding.

    Arguments
    ---------
    feats : Tensor
        [B, T, C].
    valid : Tensor | None
        Which frames are real, bool [B, T]; None: all.

    Returns
    -------
    Tensor
        [B, T, C].
    """
    if valid is None:
        return feats
    return feats.masked_fill(~valid.unsqueeze(-1), 0.0)


def extended(feats: Tensor, valid: Tensor | None) -> Tensor:
    """The last real frame of every utterance, repeated in its padding.

    Arguments
    ---------
    feats : Tensor
        [B, T, C].
    valid : Tensor | None
        Which frames are real, bool [B, T], the first ones; None: all.

    Returns
    -------
    Tensor
        [B, T, C].

    Example
    -------
    >>> feats = torch.tensor([[[1.0], [2.0], [9.0]]])
    >>> extended(feats, torch.tensor([[True, True, False]])).flatten()
    tensor([1., 2., 2.])
    """
    if valid is None:
        return feats
    last = (valid.sum(1, keepdim=True) - 1).clamp_min(0)
    index = torch.arange(valid.shape[1], device=valid.device)
    index = torch.minimum(index.unsqueeze(0), last)
    return feats.gather(1, index.unsqueeze(-1).expand_as(feats))
