"""Parts of an exact selection: sample, bracket the cut, split, settle.

The cut between kept and removed entries is first located roughly on a small
sample; only the few entries near it are ranked exactly.

Reference
---------
Floyd and Rivest, "Expected time bounds for selection", CACM 1975.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from leanbrain.pruning.updates.booleans import count_true, true_places

__all__ = ["bracket", "sample", "settle", "split"]

# Below this many entries, ranking all of them is the fastest way.
_SMALL = 4096
# Half width of the bracket in standard deviations of the sampled rank: to miss
# the cut once in 400 calls costs less than a wider one in all of them.
_SIGMAS = 3.0
_GOLDEN = 0.6180339887498949


def sample(flat: Tensor, pool: Tensor | None, total: int = 0) -> Tensor:
    """Takes an even sample of a vector.

    Arguments
    ---------
    flat : Tensor
        Scores, a vector.
    pool : Tensor | None
        Bool, which of them are candidates; None for all.
    total : int
        How many entries are ranked in all, if more than those of `flat`.

    Returns
    -------
    Tensor
        Some candidates; none where few are ranked.

    Example
    -------
    >>> sample(torch.rand(1_000_000), None).numel() // 1000
    10
    >>> sample(torch.rand(9), None)
    tensor([])
    """
    count = flat.numel()
    total = max(total, count)
    if total <= _SMALL:
        return flat[:0]
    size = math.ceil(count * total ** (-1.0 / 3.0))
    index = _even_places(size, count, flat.device)
    picked = flat.index_select(0, index)
    return picked if pool is None else picked[pool.index_select(0, index)]


@lru_cache(maxsize=64)
def _even_places(size: int, count: int, device: torch.device) -> Tensor:
    """Spreads indices evenly; kept, since layers come again in many updates."""
    # Steps by the golden ratio: even, repeatable and, unlike a fixed stride,
    # never in step with the rows of a matrix.
    places = torch.arange(size, dtype=torch.float64, device=device)
    return places.mul_(_GOLDEN).frac_().mul_(count).long()


def bracket(samples: Sequence[Tensor], share: float) -> tuple[float, float]:
    """Bounds the score above which a share of the entries lies.

    Arguments
    ---------
    samples : Sequence[Tensor]
        What `sample` took of each tensor.
    share : float
        Share of the entries to keep, in [0, 1].

    Returns
    -------
    tuple
        Lowest and highest score at which the cut may be expected; infinite
        where there is no sample, or too small a one.

    Example
    -------
    >>> bracket([torch.arange(100.0)], 0.5)
    (33.0, 65.0)
    """
    pooled = torch.cat([part.reshape(-1) for part in samples]).float()
    size = pooled.numel()
    if size == 0:
        return -math.inf, math.inf
    rank = (1.0 - share) * size
    slack = _SIGMAS * math.sqrt(size * share * (1.0 - share)) + 1.0
    first, last = math.floor(rank - slack), math.ceil(rank + slack)
    low = -math.inf if first < 1 else _kth(pooled, first)
    high = math.inf if last > size else _kth(pooled, last)
    return low, high


def split(flat: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Finds the scores above a bracket and those inside it.

    Arguments
    ---------
    flat : Tensor
        Scores, a vector.
    low, high : float
        The bracket; both ends lie inside.

    Returns
    -------
    tuple
        A bool mask of those above, and the indices, rising, of those inside.
        NaN counts as inside, so that to look for it there is enough.

    Example
    -------
    >>> split(torch.tensor([1.0, 2.0, 3.0, 4.0]), 2.0, 3.0)
    (tensor([False, False, False,  True]), tensor([1, 2]))
    """
    if flat.device.type == "cpu" and (
        flat.dtype in (torch.float32, torch.float64)
    ):
        # Same comparisons as below; NumPy's are several times as fast.
        values = flat.numpy()
        above = torch.from_numpy(np.greater(values, high))
        below = torch.from_numpy(np.less(values, low))
    else:
        above, below = flat > high, flat < low
    # Neither: where the two are equal, since no score is both.
    return above, true_places(torch.eq(above, below, out=below))


def settle(values: Tensor, count: int) -> Tensor:
    """Marks exactly as many of the largest values, the first ones of equals.

    Arguments
    ---------
    values : Tensor
        A vector without NaN.
    count : int
        How many to mark, in [0, entries].

    Returns
    -------
    Tensor
        Bool mask with `count` entries True.

    Example
    -------
    >>> settle(torch.tensor([1.0, 3.0, 3.0]), 1)
    tensor([False,  True, False])
    """
    taken = torch.zeros_like(values, dtype=torch.bool)
    if count == 0:
        return taken
    lowest, highest = torch.aminmax(values)
    if bool(lowest == highest):
        # Masses of equal scores, zeros for one, are where a search is slow.
        taken[:count] = True
        return taken
    # The k-th value counts from the smallest; half types are widened since
    # not every device ranks them.
    wide = values if values.dtype == torch.float64 else values.float()
    threshold = _kth(wide, wide.numel() - count + 1)
    torch.gt(wide, threshold, out=taken)
    equal = true_places(wide == threshold)
    taken[equal[: count - count_true(taken)]] = True
    return taken


def _kth(values: Tensor, k: int) -> float:
    """Returns the k-th smallest of a vector, float32 or float64."""
    if values.device.type == "cpu":
        return float(np.partition(values.numpy(), k - 1)[k - 1])
    return float(values.kthvalue(k).values)  # several times as slow on a CPU
