"""Sums that tell whether weights were written to, where no counter does.

Autograd's version counter does not move when a weight is changed in place
through `.data`: averaged weights that are copied in, clipping, decay by hand.
Its bits, summed as 64-bit integers, do. Reading them takes a quarter of the
time of a copy (CPU), so all of them are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["bit_sums", "same_sums", "sample_of"]

# Sums of as many parts: rows that change places are told apart as well.
_PARTS = 8
_SAMPLE = 128
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


def bit_sums(tensor: torch.Tensor) -> torch.Tensor:
    """Sums the bits of a tensor's values, part by part, modulo 2 ** 64.

    Arguments
    ---------
    tensor : torch.Tensor
        Of any type and shape.

    Returns
    -------
    torch.Tensor
        int64 [n], on the tensor's device: other values, other sums.

    Example
    -------
    >>> weight = torch.ones(4, 4)
    >>> before = bit_sums(weight)
    >>> torch.equal(bit_sums(weight), before)
    True
    >>> weight.data[0, 0] += 1e-7
    >>> torch.equal(bit_sums(weight), before)
    False
    """
    row = tensor.detach().contiguous().view(-1)
    if row.is_complex():
        row = torch.view_as_real(row).view(-1)
    words, rest = _as_words(row)
    even = words.numel() // _PARTS * _PARTS
    sums = [words[:even].view(_PARTS, -1).sum(1)]
    if even < words.numel():
        sums.append(words[even:].sum(0, keepdim=True))
    sums += [part.sum(0, keepdim=True) for part in rest if part.numel()]
    return torch.cat(sums) if len(sums) > 1 else sums[0]


def same_sums(
    old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]
) -> list[bool]:
    """Compares sums of several tensors; waits for a device only once.

    Arguments
    ---------
    old, new : sequence of torch.Tensor
        From `bit_sums`, of the same tensors.

    Returns
    -------
    list
        Whether each is as it was.
    """
    if len({x.device for x in old}) == 1 and torch.equal(
        torch.cat(list(old)), torch.cat(list(new))
    ):
        return [True] * len(old)
    return [torch.equal(a, b) for a, b in zip(old, new, strict=True)]


def sample_of(tensor: torch.Tensor) -> torch.Tensor:
    """Reads some values of a tensor, at equal distances; a copy.

    Arguments
    ---------
    tensor : torch.Tensor
        Of any type and shape.

    Returns
    -------
    torch.Tensor
        1-D.
    """
    row = tensor.detach().reshape(-1)
    return row[:: max(1, row.numel() // _SAMPLE)].clone()


def _as_words(row: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """A row as 64-bit words, and what stands before and behind them."""
    size = row.element_size()
    if size == 8:
        return row.view(torch.int64), []
    each = 8 // size
    start = min(-row.storage_offset() % each, row.numel())
    end = start + (row.numel() - start) // each * each
    narrow = row.view(_WORDS[size])
    rest = [narrow[:start], narrow[end:]]
    return row[start:end].view(torch.int64), rest
