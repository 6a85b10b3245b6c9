"""Exact selection of the largest entries, much faster than a sort.

The cut between kept and removed entries is first located roughly on a small
sample; only the few entries near it are ranked exactly (Floyd and Rivest,
"Expected time bounds for selection", CACM 1975). The result never depends on
the sample: where the sample misleads, everything is ranked.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int

__all__ = ["check_rankable", "count_true", "top_counts", "top_mask"]

# Below this many entries, ranking all of them is the fastest way.
_SMALL = 4096
# Half width of the bracket in standard deviations of the sampled rank: to miss
# the cut once in 400 calls costs less than a wider one in all of them.
_SIGMAS = 3.0
_GOLDEN = 0.6180339887498949


def top_mask(
    score: Tensor,
    keep: int,
    among: Tensor | None = None,
    name: str = "score",
) -> Tensor:
    """Marks the largest entries of a tensor, exactly as many as asked for.

    Arguments
    ---------
    score : Tensor
        Scores of any shape; the larger, the better. Infinities are allowed.
    keep : int
        How many entries to mark.
    among : Tensor | None
        Candidates, bool, in the shape of `score`; None takes all entries.
    name : str
        What the scores are called in a message.

    Returns
    -------
    Tensor
        Bool mask in the shape of `score` with exactly `keep` entries True.
        Of equal scores those with the lowest (row-major) index are marked.

    Raises
    ------
    UserError
        If a score is NaN, `among` does not fit, or there are fewer candidates
        than `keep`.

    Example
    -------
    >>> top_mask(torch.tensor([1.0, 3.0, 2.0, 3.0]), 2)
    tensor([False,  True, False,  True])
    >>> top_mask(torch.ones(4), 2)
    tensor([ True,  True, False, False])
    """
    check_rankable(name, score)
    pool = None
    available = score.numel()
    if among is not None:
        if among.dtype != torch.bool or among.shape != score.shape:
            raise UserError(
                "`among` must be a bool tensor in the shape of the scores, "
                f"{tuple(score.shape)}; got {among.dtype}, "
                f"{tuple(among.shape)}."
            )
        pool = among.reshape(-1)
        available = count_true(pool)
    keep = check_int("keep", keep, low=0)
    if keep > available:
        raise UserError(
            "`keep` must be at most the number of candidates "
            f"({available}), got {keep}."
        )
    flat = score.detach().reshape(-1)
    if keep == 0:
        return torch.zeros_like(score, dtype=torch.bool)
    if keep == available:
        whole = torch.ones_like(flat, dtype=torch.bool)
        return (whole if pool is None else pool.clone()).view(score.shape)
    low, high = _bracket([_sample(flat, pool)], keep / available)
    above, near = _split(flat, pool, low, high)
    missing = keep - count_true(above)
    if not 0 <= missing <= near.numel():
        above, near = _split(flat, pool, -math.inf, math.inf)
        missing = keep
    above.scatter_(0, near, _settle(flat.index_select(0, near), missing))
    return above.view(score.shape)


def top_counts(
    scores: Mapping[str, Tensor], keep: int, names: Iterable[str] | None = None
) -> dict[str, int]:
    """Counts, tensor by tensor, the entries among the largest of all tensors.

    Arguments
    ---------
    scores : Mapping[str, Tensor]
        Scores of any shapes; the larger, the better. Tensors are read one at
        a time and a few times over: a mapping may compute them when asked.
    keep : int
        How many entries to take from all tensors together.
    names : Iterable[str] | None
        Which tensors take part, and their order; None takes all.

    Returns
    -------
    dict
        For each name, how many of its entries belong to the `keep` largest;
        the sum is `keep`. Of equal scores the earlier tensor's count first.

    Raises
    ------
    UserError
        If a score is NaN or there are fewer entries than `keep`.

    Example
    -------
    >>> a, b = torch.tensor([1.0, 5.0]), torch.tensor([4.0, 3.0])
    >>> top_counts({"a": a, "b": b}, 3)
    {'a': 1, 'b': 2}
    """
    names = list(scores if names is None else names)
    keep = check_int("keep", keep, low=0)
    available = sum(scores[name].numel() for name in names)
    if keep > available:
        raise UserError(
            f"`keep` must be at most the number of entries ({available}), "
            f"got {keep}."
        )
    samples = []
    for name in names:
        score = scores[name]
        check_rankable(f"score of {name}", score)
        samples.append(_sample(score.detach().reshape(-1), None, available))
    if keep == 0:
        return dict.fromkeys(names, 0)
    low, high = _bracket(samples, keep / available)
    counts, near = _gather(scores, names, low, high)
    missing = keep - sum(counts)
    if not 0 <= missing <= sum(part.numel() for part in near):
        counts, near = _gather(scores, names, -math.inf, math.inf)
        missing = keep
    taken = _settle(torch.cat(near), missing)
    parts = taken.split([part.numel() for part in near])
    return {
        name: count + count_true(part)
        for name, count, part in zip(names, counts, parts, strict=True)
    }


def check_rankable(name: str, score: Tensor) -> None:
    """Refuses scores that cannot be ranked.

    Arguments
    ---------
    name : str
        What the scores are called in the message.
    score : Tensor
        Floating-point scores of any shape.

    Raises
    ------
    UserError
        If the scores are not floating point or one of them is NaN.

    Example
    -------
    >>> check_rankable("saliency", torch.tensor([0.5, float("inf")]))
    """
    if not score.is_floating_point():
        raise UserError(
            f"`{name}` must be a floating-point tensor, got {score.dtype}."
        )
    # One cheap pass: a sum without NaN has no NaN among its terms. The
    # reverse is not true (inf - inf), hence the second look.
    if bool(score.sum().isnan()) and bool(score.isnan().any()):
        count = int(score.isnan().sum())
        raise UserError(f"`{name}` must be free of NaN, got {count} of them.")


def count_true(mask: Tensor) -> int:
    """Counts the True entries of a mask.

    Arguments
    ---------
    mask : Tensor
        Bool tensor of any shape.

    Returns
    -------
    int
        How many entries are True.

    Example
    -------
    >>> count_true(torch.tensor([True, False, True]))
    2
    """
    if mask.device.type == "cpu":
        # Several times as fast as a torch sum, which widens to int64.
        return int(np.count_nonzero(mask.numpy()))
    return int(mask.sum())


def _sample(flat: Tensor, pool: Tensor | None, total: int = 0) -> Tensor:
    """Takes an even sample of the candidates; it may be empty."""
    count = flat.numel()
    total = max(total, count)
    if total <= _SMALL:
        return flat[:0]
    size = math.ceil(count * total ** (-1.0 / 3.0))
    # Steps by the golden ratio: even, repeatable and, unlike a fixed stride,
    # never in step with the rows of a matrix.
    places = torch.arange(size, dtype=torch.float64, device=flat.device)
    index = places.mul_(_GOLDEN).frac_().mul_(count).long()
    picked = flat[index]
    return picked if pool is None else picked[pool[index]]


def _bracket(samples: Sequence[Tensor], share: float) -> tuple[float, float]:
    """Bounds the score above which a share of the entries lies."""
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


def _split(
    flat: Tensor, pool: Tensor | None, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Finds the candidates above a bracket (mask) and inside it (indices)."""
    on_cpu = flat.device.type == "cpu"
    if on_cpu and flat.dtype in (torch.float32, torch.float64):
        # Same comparisons as below; NumPy's are several times as fast.
        values = flat.numpy()
        above = torch.from_numpy(np.greater(values, high))
        near = torch.from_numpy(np.greater_equal(values, low))
    else:
        above, near = flat > high, flat >= low
    if pool is not None:
        above &= pool
        near &= pool
    near ^= above
    if on_cpu:
        return above, torch.from_numpy(np.flatnonzero(near.numpy()))
    return above, near.nonzero().view(-1)


def _gather(
    scores: Mapping[str, Tensor], names: Iterable[str], low: float, high: float
) -> tuple[list[int], list[Tensor]]:
    """Counts the entries above a bracket and gathers those inside it."""
    counts, gathered = [], []
    for name in names:
        flat = scores[name].detach().reshape(-1)
        above, near = _split(flat, None, low, high)
        counts.append(count_true(above))
        gathered.append(flat.index_select(0, near))
    return counts, gathered


def _settle(values: Tensor, count: int) -> Tensor:
    """Marks exactly the `count` largest values, the first ones of equals."""
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
    equal = (wide == threshold).nonzero().view(-1)
    taken[equal[: count - count_true(taken)]] = True
    return taken


def _kth(values: Tensor, k: int) -> float:
    """Returns the k-th smallest of a vector, float32 or float64."""
    if values.device.type == "cpu":
        return float(np.partition(values.numpy(), k - 1)[k - 1])
    return float(values.kthvalue(k).values)  # several times as slow on a CPU
