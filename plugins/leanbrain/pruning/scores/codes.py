"""Narrow formats for non-negative values of which only the ranks matter.

Values are stored relative to a bound that their owner knows, so that they
neither overflow nor vanish whatever their unit. One byte per value is a float
without sign, four bits of exponent and four of mantissa: 256 levels, 3 to 6 %
apart, down to 1 / 63488 of the bound. The 8-bit floats of torch spend a bit
on the sign, lose more of the ranking, and are slow to read on a CPU.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leanbrain.checks import check_known

__all__ = ["Code", "code_of"]

# The bits of float32 1.0, the value of the lowest level, and how far to shift
# a float32 so that the lowest four bits of its mantissa that remain are units.
_ONE = 0x3F800000
_SHIFT = 23 - 4
# Levels are counted from the lowest int8 on; torch converts to int8 much
# faster than to uint8.
_LOWEST = _ONE + (128 << _SHIFT)


@dataclass(frozen=True)
class Code:
    """How values in [0, full] are stored in one dtype.

    Arguments
    ---------
    dtype : torch.dtype
        What is stored.
    full : float
        The value that stands for the bound; a power of the format's range
        that uses it well.

    Example
    -------
    >>> code = code_of("int8")
    >>> stored = torch.empty(2, dtype=code.dtype)
    >>> code.encode(torch.tensor([1.0, 0.51]) * code.full, stored)
    >>> code.decode(stored, torch.empty(2)) / code.full
    tensor([1.0000, 0.5161])
    """

    dtype: torch.dtype
    full: float

    def encode(self, values: Tensor, stored: Tensor) -> None:
        """Stores values, which are overwritten on the way.

        Arguments
        ---------
        values : Tensor
            float32 in [0, full], any shape; used as scratch space.
        stored : Tensor
            Where to write, of this code's dtype and the shape of `values`.
        """
        if self.dtype == torch.int8:
            # The bits of positive floats, read as integers, are in the order
            # of the floats; half a level makes the shift round to nearest.
            bits = values.view(torch.int32).sub_(_LOWEST - (1 << _SHIFT - 1))
            stored.copy_(bits.bitwise_right_shift_(_SHIFT).clamp_(-128, 127))
        else:
            stored.copy_(values)

    def decode(self, stored: Tensor, out: Tensor) -> Tensor:
        """Reads values back.

        Arguments
        ---------
        stored : Tensor
            What `encode` wrote.
        out : Tensor
            Where to write, float32, in the shape of `stored`.

        Returns
        -------
        Tensor
            `out`, in [0, full]; with int8 in [1, full], what was 0 reads 1.
        """
        if self.dtype == torch.int8:
            bits = out.view(torch.int32).copy_(stored)
            bits.bitwise_left_shift_(_SHIFT).add_(_LOWEST)
        else:
            out.copy_(stored)
        return out


_CODES = {
    "float32": Code(torch.float32, 1.0),
    "float16": Code(torch.float16, 2.0**15),
    "bfloat16": Code(torch.bfloat16, 1.0),
    # The highest of the levels that start at 1 and double 16 times.
    "int8": Code(torch.int8, 2.0**15 * (2.0 - 2.0**-4)),
}


def code_of(dtype: torch.dtype | str) -> Code:
    """Finds the code of a dtype.

    Arguments
    ---------
    dtype : torch.dtype | str
        float32, float16, bfloat16 or int8; YAML gives the name.

    Returns
    -------
    Code
        The code.

    Raises
    ------
    UserError
        If there is no code for this dtype.

    Example
    -------
    >>> code_of(torch.float16).dtype
    torch.float16
    """
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    return _CODES[check_known("dtype", dtype, _CODES)]
