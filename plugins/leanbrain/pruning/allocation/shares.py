"""Allocation: how many weights each tensor keeps at a given sparsity.

All allocations are called as ``allocation(saliency, sparsity)``; the mapping
may compute its tensors when they are asked for, they are read one at a time.
They keep exactly `keep_total(N, sparsity)` of the N weights. Shares
are integers and settled by largest remainder, in integer arithmetic, so that
the counts are the same on every machine and rank.
"""

from collections.abc import Mapping, Sequence

from torch import Size, Tensor

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.pruning.scores.lazy import shapes_of
from leanbrain.pruning.updates.topk import top_counts

__all__ = ["apportion", "bounds", "erk", "global_", "keep_total", "per_layer"]


def keep_total(numel: int, sparsity: float) -> int:
    """Counts the weights that are kept at a sparsity.

    Arguments
    ---------
    numel : int
        Number of weights.
    sparsity : float
        Removed share, in [0, 1).

    Returns
    -------
    int
        (1 - sparsity) * numel, rounded; a half goes to the even neighbour.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Example
    -------
    >>> keep_total(10, 0.7)
    3
    """
    sparsity = check_fraction("sparsity", sparsity, high_open=True)
    return round((1.0 - sparsity) * check_int("numel", numel, low=0))


def per_layer(
    saliency: Mapping[str, Tensor], sparsity: float, *, min_keep: int = 1
) -> dict[str, int]:
    """Gives every tensor the same sparsity, up to rounding.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor per parameter; only the shapes are used.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    min_keep : int
        The least that a tensor keeps (all of it if it is smaller). 0 lets
        a tensor become empty.

    Returns
    -------
    dict
        Name -> keep-count; the sum is `keep_total` of all weights.

    Raises
    ------
    UserError
        If a setting is out of its range or `min_keep` exceeds the total.

    Example
    -------
    >>> import torch
    >>> per_layer({"a": torch.ones(2, 5), "b": torch.ones(2, 10)}, 0.7)
    {'a': 3, 'b': 6}
    """
    shapes = shapes_of(saliency)
    shares = [shape.numel() for shape in shapes.values()]
    return _solve(shapes, sparsity, min_keep, shares)


def erk(
    saliency: Mapping[str, Tensor], sparsity: float, *, min_keep: int = 1
) -> dict[str, int]:
    """Keeps more of small tensors, by the Erdos-Renyi-Kernel rule.

    The density of a tensor is proportional to sum(shape) / prod(shape). Where
    that exceeds 1 the tensor stays dense and the others are solved again.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor per parameter; only the shapes are used.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    min_keep : int
        The least that a tensor keeps (all of it if it is smaller).

    Returns
    -------
    dict
        Name -> keep-count; the sum is `keep_total` of all weights.

    Raises
    ------
    UserError
        If a setting is out of its range or `min_keep` exceeds the total.

    Reference
    ---------
    Evci et al., "Rigging the lottery", arXiv 1911.11134, section 3 (1).

    Example
    -------
    >>> import torch
    >>> erk({"a": torch.ones(4, 4), "b": torch.ones(12, 12)}, 0.8)
    {'a': 8, 'b': 24}
    """
    shapes = shapes_of(saliency)
    # Density times size: the keep-counts themselves go as sum(shape).
    shares = [sum(shape) for shape in shapes.values()]
    return _solve(shapes, sparsity, min_keep, shares)


def global_(
    saliency: Mapping[str, Tensor],
    sparsity: float,
    *,
    min_keep: int = 1,
    least_share: float = 0.0,
) -> dict[str, int]:
    """Keeps the weights that rank highest in all tensors together.

    Use it only with a saliency that compares across layers; magnitudes do
    not where layers differ in fan-in.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor of scores per parameter. Of equal scores the earlier
        tensor's count first.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    min_keep : int
        The least that a tensor keeps (all of it if it is smaller).
    least_share : float
        The least density of a tensor relative to that of all, in [0, 1): no
        layer becomes so thin that nothing passes. Where `min_keep` of many
        small tensors leaves less than that, what it leaves is shared evenly.

    Returns
    -------
    dict
        Name -> keep-count; the sum is `keep_total` of all weights.

    Raises
    ------
    UserError
        If a setting is out of its range, `min_keep` exceeds the total, or a
        score is NaN.

    Example
    -------
    >>> import torch
    >>> scores = {"a": torch.tensor([9.0, 8.0]), "b": torch.tensor([1.0, 7.0])}
    >>> global_(scores, 0.5)
    {'a': 1, 'b': 1}
    >>> global_(scores, 0.5, min_keep=0)
    {'a': 2, 'b': 0}
    >>> global_(scores, 0.5, min_keep=0, least_share=0.9)
    {'a': 2, 'b': 0}
    """
    check_fraction("least_share", least_share, high_open=True)
    sizes = {name: shape.numel() for name, shape in shapes_of(saliency).items()}
    total, low = bounds(sizes, sparsity, min_keep)
    full = list(sizes.values())
    density = least_share * total / max(1, sum(full))
    even = apportion(total, full, list(low.values()), full)
    low = {
        name: max(low[name], min(int(density * size), share))
        for (name, size), share in zip(sizes.items(), even, strict=True)
    }
    free, kept = list(low), dict[str, int]()
    while True:
        found = top_counts(saliency, total - sum(kept.values()), names=free)
        poor = [name for name in free if found[name] < low[name]]
        if not poor:
            found.update(kept)
            return {name: found[name] for name in low}
        # Their minimum is taken off the total, which raises the bar for the
        # others: more of them may fall below their own minimum next.
        kept.update({name: low[name] for name in poor})
        free = [name for name in free if name not in kept]


def apportion(
    total: int, shares: Sequence[int], low: Sequence[int], high: Sequence[int]
) -> list[int]:
    """Splits a whole number by shares, within bounds, without rounding loss.

    Arguments
    ---------
    total : int
        What to split; between sum(low) and sum(high).
    shares : Sequence[int]
        What the parts are proportional to, where no bound is in the way.
    low : Sequence[int]
        Smallest allowed parts.
    high : Sequence[int]
        Largest allowed parts.

    Returns
    -------
    list
        The parts; their sum is `total`. Rounding is by largest remainder,
        equal remainders by order.

    Example
    -------
    >>> apportion(10, [1, 1, 8], low=[0, 0, 0], high=[9, 9, 4])
    [3, 3, 4]
    """
    parts = [0] * len(shares)
    free, rest = list(range(len(shares))), total
    while True:
        weight = sum(shares[i] for i in free) or 1
        under = {i: low[i] * weight - rest * shares[i] for i in free}
        over = {i: rest * shares[i] - high[i] * weight for i in free}
        deficit = sum(gap for gap in under.values() if gap > 0)
        excess = sum(gap for gap in over.values() if gap > 0)
        if deficit == excess == 0:
            break
        # The heavier side moves the scale for good: who breaks that bound
        # now, breaks it in the solution too. The other side may come free.
        bound, gaps = (low, under) if deficit >= excess else (high, over)
        for i in free:
            if gaps[i] > 0:
                parts[i] = bound[i]
                rest -= bound[i]
        free = [i for i in free if gaps[i] <= 0]
    for i in free:
        parts[i] = rest * shares[i] // weight
    by_remainder = sorted(free, key=lambda i: -(rest * shares[i] % weight))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def bounds(
    sizes: Mapping[str, int], sparsity: float, min_keep: int
) -> tuple[int, dict[str, int]]:
    """Returns the total to keep and the least for every tensor.

    Arguments
    ---------
    sizes : Mapping[str, int]
        Name -> number of weights.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    min_keep : int
        The least that a tensor keeps (all of it if it is smaller).

    Returns
    -------
    tuple
        `keep_total` of all weights, and name -> least keep-count.

    Raises
    ------
    UserError
        If a setting is out of its range or `min_keep` exceeds the total.

    Example
    -------
    >>> bounds({"a": 10, "b": 1}, 0.5, 2)
    (6, {'a': 2, 'b': 1})
    """
    min_keep = check_int("min_keep", min_keep, low=0)
    total = keep_total(sum(sizes.values()), sparsity)
    low = {name: min(min_keep, size) for name, size in sizes.items()}
    if sum(low.values()) > total:
        raise UserError(
            f"`min_keep` must let sparsity {sparsity:g} be reached: "
            f"{len(sizes)} tensors may keep {total} weights in all, "
            f"got {min_keep} for each."
        )
    return total, low


def _solve(
    shapes: Mapping[str, Size],
    sparsity: float,
    min_keep: int,
    shares: Sequence[int],
) -> dict[str, int]:
    """Splits the total of a sparsity by shares."""
    sizes = {name: shape.numel() for name, shape in shapes.items()}
    total, low = bounds(sizes, sparsity, min_keep)
    parts = apportion(total, shares, list(low.values()), list(sizes.values()))
    return dict(zip(shapes, parts, strict=True))
