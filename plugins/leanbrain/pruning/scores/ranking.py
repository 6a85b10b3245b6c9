"""Ranks of magnitudes without a sort."""

import torch
from torch import Tensor

__all__ = ["KeptRanks", "rank_shares"]

# The upper half of the bits of a float32 >= 0: exponent and seven bits of
# mantissa, so that values in a bin differ by less than 1 %.
_SHIFT = 16
_BINS = 2 ** (31 - _SHIFT)


@torch.no_grad()
def rank_shares(values: Tensor) -> Tensor:
    """Estimates which share of magnitudes is smaller, entry by entry.

    The share of the bins below is exact; within a bin, all values of which
    are equal to 1 %, entries are placed by value. An order of magnitude
    faster than ranking them by a sort.

    Arguments
    ---------
    values : Tensor
        Floating point, any shape, of any signs.

    Returns
    -------
    Tensor
        float32 in (0, 1), in the shape of `values`; rising with their
        magnitudes, up to rounding. Of N that are 1 % apart, the n-th smallest
        has a share between (n - 1) / N and n / N.

    Example
    -------
    >>> rank_shares(torch.tensor([8.0, 0.5, 2.0, 1.0])).mul(4).int()
    tensor([3, 0, 2, 1], dtype=torch.int32)
    """
    # Bits of floats >= 0, read as integers, are in the order of the floats;
    # those of minus zero are not.
    flat = values.detach().float().abs().reshape(-1)
    bits = flat.view(torch.int32)
    bins = bits >> _SHIFT
    inside = torch.bincount(bins, minlength=_BINS).double()
    inside.div_(max(1, bits.numel()))
    below = inside.cumsum(0).sub_(inside).float()
    place = bits.bitwise_and_(2**_SHIFT - 1).float()
    shares = place.add_(0.5).mul_(2.0**-_SHIFT)
    # Selecting by 32-bit integers is several times as fast as indexing.
    shares.mul_(inside.float().index_select(0, bins))
    shares.add_(below.index_select(0, bins))
    shares.clamp_(min=2.0**-25, max=1.0 - 2.0**-24)
    return shares.view(values.shape)


class KeptRanks:
    """Ranks of magnitudes, computed once for all pathways of an update.

    Weights are known again by their memory, which is held so that it cannot
    become that of others, and by autograd's counter of writes. Fused
    optimizers do not count: forget what a step may have changed.

    Example
    -------
    >>> kept, weight = KeptRanks(), torch.tensor([8.0, -0.5, 2.0, 1.0])
    >>> first = kept.of("w", weight)
    >>> kept.of("w", weight) is first, kept.of("w", weight.mul_(2)) is first
    (True, False)
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tensor, int, Tensor]] = {}

    def of(self, name: str, weight: Tensor) -> Tensor:
        """Returns the shares of smaller magnitudes.

        Arguments
        ---------
        name : str
            Name of the parameter.
        weight : Tensor
            Floating point, any shape.

        Returns
        -------
        Tensor
            `rank_shares`; not to be written to.
        """
        if weight.is_inference():  # counts no writes
            return rank_shares(weight)
        held = self._kept.get(name)
        if held is not None and _is_same(held[0], weight):
            if held[1] == weight._version:
                return held[2]
        ranks = rank_shares(weight)
        self._kept[name] = weight.detach(), weight._version, ranks
        return ranks

    def forget(self, name: str | None = None) -> None:
        """Drops the ranks of a parameter; None drops all."""
        if name is None:
            self._kept.clear()
        else:
            self._kept.pop(name, None)


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same memory, read in the same way."""
    return a.data_ptr() == b.data_ptr() and (
        (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)
    )
