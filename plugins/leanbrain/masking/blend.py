"""Copying weights where the bits of a packed mask say so, in cached steps.

`torch.where` and `masked_fill_` branch on every weight: with an irregular
mask they take 7 to 10 times as long as a copy (CPU). Here each bit becomes a
word of zeros or ones as wide as a weight, and the weight, read as an integer,
is combined with it by logical operations: exact for every value, NaN and
infinity included, at the speed of memory.
"""

from collections.abc import Iterator

import numpy as np
import torch

from leanbrain.masking.packing import packed_size, unpack

__all__ = ["Blender", "as_row"]

# Weights per step. CPU: the scratch buffers stay in the cache (L2, else L3).
# Elsewhere a step is a kernel launch, so few large ones.
_CPU_STEP = 2**18
_DEVICE_STEP = 2**23
_WORDS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def as_row(tensor: torch.Tensor) -> torch.Tensor | None:
    """Reads a tensor as a row of integers as wide as its values.

    Arguments
    ---------
    tensor : torch.Tensor
        Values of any shape, or a row of integers, which is returned as it is.

    Returns
    -------
    torch.Tensor | None
        Integers [n] in the same memory, with the same version counter, so
        that autograd sees that a weight it needs was overwritten. None if the
        tensor is not contiguous or its values are wider than 8 bytes.

    Example
    -------
    >>> as_row(torch.tensor([[0.0, 1.0]]))
    tensor([         0, 1065353216], dtype=torch.int32)
    """
    if tensor.dim() == 1 and tensor.dtype in _WORDS.values():
        return tensor
    if not tensor.is_contiguous() or tensor.element_size() not in _WORDS:
        return None
    return tensor.detach().view(-1).view(_WORDS[tensor.element_size()])


class Blender:
    """Writes weights under a packed mask, without temporaries of full size.

    The scratch memory is kept between calls. It is never larger than a step:
    1 byte and the width of a weight, times the weights of a step; for float32
    on the CPU that is 1.3 MB, whatever the model. Tensors that are
    not contiguous (`channels_last`) or wider than 8 bytes are right but slow,
    with temporaries of their own size.

    Arguments
    ---------
    device : torch.device
        Where all tensors are.
    step : int | None
        Weights per step, a multiple of 8; None for the device's default.

    Example
    -------
    >>> blender = Blender(torch.device("cpu"))
    >>> target, source = torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])
    >>> blender.keep(target, source, torch.tensor([5], dtype=torch.uint8))
    >>> target
    tensor([1., 0., 3.])
    >>> blender.merge(target, -source, torch.tensor([6], dtype=torch.uint8))
    >>> target
    tensor([ 1., -2., -3.])
    """

    def __init__(self, device: torch.device, step: int | None = None) -> None:
        if step is None:
            step = _CPU_STEP if device.type == "cpu" else _DEVICE_STEP
        self.device = device
        self.step = step
        self._scratch: dict[torch.dtype, _Scratch] = {}

    @staticmethod
    def holds(largest: int, width: int) -> int:
        """The most bytes of scratch on a CPU.

        Arguments
        ---------
        largest : int
            Weights of the largest tensor.
        width : int
            Bytes of a weight.

        Returns
        -------
        int
        """
        return min(_CPU_STEP // 8, packed_size(largest)) * 8 * (1 + width)

    def keep(
        self, target: torch.Tensor, source: torch.Tensor, bits: torch.Tensor
    ) -> None:
        """Writes the source where the mask is 1 and zero where it is 0.

        Arguments
        ---------
        target : torch.Tensor
            Where to write, of any shape; may be the source itself.
        source : torch.Tensor
            Values, shape and type as the target.
        bits : torch.Tensor
            Packed mask, uint8 [ceil(n / 8)].
        """
        old_row, new_row = as_row(target), as_row(source)
        if old_row is None or new_row is None:
            old, new = target.detach(), source.detach()
            mask = unpack(bits, old.shape)
            old.copy_(torch.where(mask, new, torch.zeros_like(new)))
            return
        for old, new, mask in self._steps(old_row, new_row, bits, -1):
            torch.bitwise_and(new, mask, out=old)

    def merge(
        self, target: torch.Tensor, source: torch.Tensor, bits: torch.Tensor
    ) -> None:
        """Writes the source where the mask is 1, nothing where it is 0.

        Arguments
        ---------
        target : torch.Tensor
            Where to write, of any shape; another tensor than the source.
        source : torch.Tensor
            Values, shape and type as the target.
        bits : torch.Tensor
            Packed mask, uint8 [ceil(n / 8)].
        """
        old_row, new_row = as_row(target), as_row(source)
        if old_row is None or new_row is None:
            old, new = target.detach(), source.detach()
            mask = unpack(bits, old.shape)
            old.copy_(torch.where(mask, new, old))
            return
        for old, new, free in self._steps(old_row, new_row, bits, 0):
            # ((old ^ new) & ~mask) ^ new, which needs no second scratch word.
            old.bitwise_xor_(new).bitwise_and_(free).bitwise_xor_(new)

    def _steps(
        self,
        target: torch.Tensor,
        source: torch.Tensor,
        bits: torch.Tensor,
        one: int,
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yields steps of target and source and a word per bit."""
        word = target.dtype
        size = self.step // 8
        scratch = self._scratch.get(word)
        if scratch is None or len(scratch) < min(size, bits.numel()):
            scratch = _Scratch(min(size, bits.numel()), word, self.device)
            self._scratch[word] = scratch
        parts = zip(
            target.split(self.step),
            source.split(self.step),
            bits.split(size),
            strict=True,
        )
        for old, new, packed in parts:
            yield old, new, scratch.unfold(packed, one, old.numel())


class _Scratch:
    """Buffers in which the bits of a step become words."""

    def __init__(
        self, size: int, word: torch.dtype, device: torch.device
    ) -> None:
        self.index = torch.empty(size, dtype=torch.int64, device=device)
        self.words = torch.empty((size, 8), dtype=word, device=device)
        self.flat = self.words.view(-1)
        bits = torch.arange(256)[:, None] >> torch.arange(8) & 1
        tables = {-1: -bits, 0: bits - 1}
        self.tables = {k: t.to(device, word) for k, t in tables.items()}
        self.on_cpu = device.type == "cpu"
        if self.on_cpu:  # the same memory, as NumPy sees it
            self.index_np = self.index.numpy()
            self.words_np = self.words.numpy()
            self.tables_np = {k: t.numpy() for k, t in self.tables.items()}

    def __len__(self) -> int:
        return self.index.numel()

    def unfold(
        self, packed: torch.Tensor, one: int, count: int
    ) -> torch.Tensor:
        """Returns `count` words: `one` (0 or -1) or the other, per bit."""
        size = packed.numel()
        if self.on_cpu:
            # NumPy copies short rows three times as fast as torch. "clip"
            # spares it a second buffer; a byte is never out of range.
            rows, table = self.index_np[:size], self.tables_np[one]
            rows[:] = packed.numpy()
            out = self.words_np[:size]
            np.take(table, rows, axis=0, out=out, mode="clip")
        else:
            index = self.index[:size].copy_(packed)
            words = self.words[:size]
            torch.index_select(self.tables[one], 0, index, out=words)
        return self.flat[:count]
