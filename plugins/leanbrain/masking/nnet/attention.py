"""Attention and feed-forward layers of SpeechBrain, aware of pathways."""

from __future__ import annotations

import torch
from speechbrain.nnet import attention, hypermixing

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware

__all__ = [
    "HyperMixing",
    "MultiheadAttention",
    "PositionalwiseFeedForward",
    "RelPosMHAXL",
    "RoPEMHA",
]


def mask_rows(mask: torch.Tensor) -> Rows | None:
    """Where an attention mask has rows: [T, T] has none, [B * heads, T, T]."""
    return Rows(many=True) if mask.dim() > 2 else None


ATTENTION = RowSpec(
    {
        "query": Rows(),
        "key": Rows(),
        "value": Rows(),
        "key_padding_mask": Rows(),
        "attn_mask": mask_rows,
    },
    # The stock layer adds positions to the caller's mask, in place.
    copied=("attn_mask",),
)


class MultiheadAttention(MaskAware, attention.MultiheadAttention):
    """Stands in where `speechbrain.nnet.attention.MultiheadAttention` stood.

    Example
    -------
    >>> x = torch.rand(2, 5, 8)
    >>> MultiheadAttention(nhead=2, d_model=8)(x, x, x)[0].shape
    torch.Size([2, 5, 8])
    """

    spec = ATTENTION


class RelPosMHAXL(MaskAware, attention.RelPosMHAXL):
    """Stands in where `speechbrain.nnet.attention.RelPosMHAXL` stood.

    Example
    -------
    >>> x = torch.rand(2, 5, 8)
    >>> layer = RelPosMHAXL(num_heads=2, embed_dim=8)
    >>> layer(x, x, x, torch.rand(1, 9, 8))[0].shape
    torch.Size([2, 5, 8])
    """

    spec = ATTENTION


class RoPEMHA(MaskAware, attention.RoPEMHA):
    """Stands in where `speechbrain.nnet.attention.RoPEMHA` stood.

    Example
    -------
    >>> x = torch.rand(2, 5, 8)
    >>> RoPEMHA(num_heads=2, embed_dim=8)(x, x, x)[0].shape
    torch.Size([2, 5, 8])
    """

    spec = ATTENTION


class HyperMixing(MaskAware, hypermixing.HyperMixing):
    """Stands in where `speechbrain.nnet.hypermixing.HyperMixing` stood.

    Example
    -------
    >>> x = torch.rand(2, 5, 8)
    >>> layer = HyperMixing(
    ...     input_output_dim=8, hypernet_size=8, tied=False, num_heads=2
    ... )
    >>> layer(x, x, x)[0].shape
    torch.Size([2, 5, 8])
    """

    spec = ATTENTION


class PositionalwiseFeedForward(MaskAware, attention.PositionalwiseFeedForward):
    """Stands in where SpeechBrain's `PositionalwiseFeedForward` stood.

    Example
    -------
    >>> layer = PositionalwiseFeedForward(d_ffn=16, input_size=8)
    >>> layer(torch.rand(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    spec = RowSpec({"x": Rows()})
