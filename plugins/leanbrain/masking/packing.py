"""Masks as bits: one bit per weight, in the order of numpy's little-endian
packbits.

Weight number ``8 * j + i`` of a flattened tensor is bit ``i`` of byte ``j``.
Bits behind the last weight are 0, so that packed masks can be compared,
combined (``&``, ``|``, ``^``) and counted as bytes.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from leanbrain.checks import UserError

__all__ = ["count_bits", "pack", "packed_size", "unpack"]

# Eight bytes of 0 or 1, read as one little-endian word, times this factor
# have the bit of byte i at position 56 + i; no two products meet, so there is
# no carry.
_GATHER = 0x0102040810204080
# Bytes per step of `unpack`: its index and output stay in the L2 cache.
_STEP = 2**15


def packed_size(count: int) -> int:
    """Returns how many bytes the mask of a number of weights takes.

    Arguments
    ---------
    count : int
        Number of weights.

    Returns
    -------
    int
        Number of bytes.

    Example
    -------
    >>> packed_size(8), packed_size(9)
    (1, 2)
    """
    return (count + 7) // 8


def pack(mask: torch.Tensor) -> torch.Tensor:
    """Packs a boolean mask, eight weights to the byte.

    Arguments
    ---------
    mask : torch.Tensor
        Bool, of any shape; n values in all.

    Returns
    -------
    torch.Tensor
        uint8 [ceil(n / 8)] on the same device.

    Raises
    ------
    UserError
        If the mask is not of type bool.

    Example
    -------
    >>> pack(torch.tensor([True, False, True]))
    tensor([5], dtype=torch.uint8)
    """
    if mask.dtype != torch.bool:
        raise UserError(f"`mask` must be of type bool, got {mask.dtype}.")
    if mask.device.type == "cpu":  # NumPy is three times as fast
        flat = mask.numpy().reshape(-1)
        return torch.from_numpy(np.packbits(flat, bitorder="little"))
    count = mask.numel()
    padded = mask.new_zeros(8 * packed_size(count))
    padded[:count].view(mask.shape).copy_(mask)
    words = padded.view(torch.int64)
    words.mul_(_GATHER).bitwise_right_shift_(56)
    return words.bitwise_and_(0xFF).to(torch.uint8)


def unpack(
    packed: torch.Tensor,
    shape: Sequence[int],
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Unpacks a mask.

    Arguments
    ---------
    packed : torch.Tensor
        uint8 [ceil(n / 8)] as `pack` returns it.
    shape : Sequence[int]
        Shape of the mask; n values in all.
    out : torch.Tensor | None
        Bool tensor to write to, of this shape and device. Give one where
        masks are unpacked again and again.

    Returns
    -------
    torch.Tensor
        Bool [shape]; `out` if it was given.

    Raises
    ------
    UserError
        If the number of bytes does not fit the shape, or `out` does not.

    Example
    -------
    >>> unpack(torch.tensor([5], dtype=torch.uint8), [3])
    tensor([ True, False,  True])
    """
    size = torch.Size(shape)
    count = size.numel()
    _check_packed(packed, count)
    if out is None and packed.device.type == "cpu":
        bits = np.unpackbits(packed.numpy(), count=count, bitorder="little")
        return torch.from_numpy(bits).view(torch.bool).view(size)
    if out is None:
        out = torch.empty(size, dtype=torch.bool, device=packed.device)
    elif out.shape != size or out.dtype != torch.bool:
        raise UserError(
            f"`out` must be of type bool and shape {list(size)}, got "
            f"{out.dtype} and {list(out.shape)}."
        )
    if out.is_contiguous() and out.storage_offset() % 8 == 0:
        _write_bytes(packed, out.view(-1))
    else:  # eight bytes at a time need an aligned row of bytes
        flat = torch.empty(count, dtype=torch.bool, device=packed.device)
        _write_bytes(packed, flat)
        out.copy_(flat.view(size))
    return out


def count_bits(packed: torch.Tensor) -> int:
    """Counts the weights that a packed mask keeps, exactly.

    Arguments
    ---------
    packed : torch.Tensor
        uint8, of any shape.

    Returns
    -------
    int
        Number of bits that are 1.

    Example
    -------
    >>> count_bits(torch.tensor([5, 255], dtype=torch.uint8))
    10
    """
    histogram = torch.bincount(packed.reshape(-1), minlength=256)
    return int(histogram.cpu() @ _bits_per_byte())


@cache
def _byte_table(device: torch.device) -> torch.Tensor:
    """Returns int64 [256]: the eight bools of every byte, read as a word."""
    return _bits().bool().view(torch.int64).view(-1).to(device)


def _bits() -> torch.Tensor:
    """Returns int64 [256, 8]: the bits of every byte, lowest first."""
    return torch.arange(256)[:, None] >> torch.arange(8) & 1


@cache
def _bits_per_byte() -> torch.Tensor:
    """Returns int64 [256]: how many bits of each byte are 1."""
    return _bits().sum(dim=1)


def _write_bytes(packed: torch.Tensor, flat: torch.Tensor) -> None:
    """Unpacks to a flat bool tensor whose storage is aligned."""
    table = _byte_table(packed.device)
    whole = flat.numel() // 8
    words = flat[: 8 * whole].view(torch.int64)
    for part, target in zip(
        packed[:whole].split(_STEP), words.split(_STEP), strict=True
    ):
        torch.index_select(table, 0, part.int(), out=target)
    if 8 * whole < flat.numel():
        last = table[int(packed[-1])].view(1).view(torch.bool)
        flat[8 * whole :] = last[: flat.numel() - 8 * whole]


def _check_packed(packed: torch.Tensor, count: int) -> None:
    """Compares type and length of a packed mask with the weights."""
    wanted = packed_size(count)
    if packed.dtype != torch.uint8 or packed.shape != (wanted,):
        raise UserError(
            f"`packed` must be uint8 [{wanted}] for {count} weights, got "
            f"{packed.dtype} {list(packed.shape)}."
        )
