"""Redistribution: weights move between layers to where gradients are large."""

from collections.abc import Callable, Mapping

from torch import Tensor

from leanbrain.checks import UserError, check_fraction
from leanbrain.pruning.allocation.shares import apportion, bounds, erk, global_
from leanbrain.pruning.scores.lazy import shapes_of
from leanbrain.pruning.updates.rules import cos_decay
from leanbrain.pruning.updates.topk import top_counts

__all__ = ["by_gradient", "first_then"]


def by_gradient(
    saliency: Mapping[str, Tensor],
    sparsity: float,
    *,
    growth: Mapping[str, Tensor] | None = None,
    active: Mapping[str, int] | None = None,
    progress: float = 0.0,
    drop_fraction: float = 0.3,
    first: Callable[..., dict[str, int]] = erk,
    min_keep: int = 1,
) -> dict[str, int]:
    """Gives what layers drop to those with the largest gradients of all.

    Every tensor gives up ``drop_fraction * cos_decay(progress)`` of its
    active weights. What that frees, plus or minus what the sparsity changes,
    goes to tensors by the number of their entries among the largest of all
    `growth`. Where the sparsity rises by more than is given up, tensors
    shrink in proportion and none grows. Use it with the update
    `replace_dropped` at the same `drop_fraction`.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor per parameter; only the shapes are used (by `first`, what
        it needs).
    sparsity : float
        Removed share of all weights together, in [0, 1).
    growth : Mapping[str, Tensor] | None
        What is worth growing, with negative scores for active weights. A
        tensor that it lacks, since no gradient of it was seen, takes no part:
        its count is scaled with the total. None scales all counts.
    active : Mapping[str, int] | None
        How many weights each tensor keeps now; None before the first masks,
        whose counts are those of `first`.
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    drop_fraction : float
        Share of the active weights that is given up at progress 0, in [0, 1].
    first : callable
        ``(saliency, sparsity, min_keep=...)`` -> counts of the first masks.
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
        If a setting is out of its range, `active` lacks a parameter, or
        `min_keep` exceeds the total.

    Reference
    ---------
    Global gradient-based redistribution (GGR), arXiv 2210.14012.

    Example
    -------
    >>> import torch
    >>> growth = {"a": torch.tensor([-1.0, -1.0, 0.1, 0.2]),
    ...     "b": torch.tensor([-1.0, -1.0, 9.0, 8.0])}
    >>> by_gradient(growth, 0.5, growth=growth, active={"a": 2, "b": 2},
    ...     drop_fraction=0.5)
    {'a': 1, 'b': 3}
    """
    drop_fraction = check_fraction("drop_fraction", drop_fraction)
    if active is None:
        return first(saliency, sparsity, min_keep=min_keep)
    sizes = {name: s.numel() for name, s in shapes_of(saliency).items()}
    now = _fitting(active, sizes)
    total, least = bounds(sizes, sparsity, min_keep)
    counts = _scaled(sizes, now, total, list(least.values()))
    seen = {n: size for n, size in sizes.items() if growth and n in growth}
    if not seen or growth is None:
        return counts
    now = [active[name] for name in seen]
    low = [least[name] for name in seen]
    total = sum(counts[name] for name in seen)
    share = drop_fraction * cos_decay(progress)
    stay = [
        max(count - round(share * count), lowest)
        for count, lowest in zip(now, low, strict=True)
    ]
    if sum(stay) >= total:
        return counts | _scaled(seen, stay, total, low)
    return counts | _grown(seen, now, stay, total, growth)


def first_then(
    saliency: Mapping[str, Tensor],
    sparsity: float,
    *,
    first: Callable[..., dict[str, int]] = erk,
    then: Callable[..., dict[str, int]] = global_,
    growth: Mapping[str, Tensor] | None = None,
    active: Mapping[str, int] | None = None,
    progress: float = 0.0,
) -> dict[str, int]:
    """Allocates the first masks by one rule and all later ones by another.

    A global allocation makes no sense of the random scores that a sparse
    start is drawn by, for one.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor of scores per parameter.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    first : callable
        ``(saliency, sparsity)`` -> counts of the first masks.
    then : callable
        ``(saliency, sparsity)`` -> counts of all later masks.
    growth : Mapping[str, Tensor] | None
        It has no effect here.
    active : Mapping[str, int] | None
        How many weights each tensor keeps now; None before the first masks.
    progress : float
        It has no effect here.

    Returns
    -------
    dict
        Name -> keep-count, as the rule gives it.

    Example
    -------
    >>> import torch
    >>> scores = {"a": torch.tensor([9.0, 8.0, 7.0]), "b": torch.ones(3)}
    >>> first_then(scores, 0.4), first_then(scores, 0.4, active={})
    ({'a': 2, 'b': 2}, {'a': 3, 'b': 1})
    """
    return (first if active is None else then)(saliency, sparsity)


def _fitting(active: Mapping[str, int], sizes: Mapping[str, int]) -> list[int]:
    """Returns the active counts in the order of the tensors."""
    wrong = [
        name
        for name, size in sizes.items()
        if not 0 <= active.get(name, -1) <= size
    ]
    if wrong:
        raise UserError(
            "`active` must give every tensor a count from 0 to its size, got "
            f"{active.get(wrong[0])} for {wrong[0]!r}."
        )
    return [active[name] for name in sizes]


def _scaled(
    sizes: Mapping[str, int], counts: list[int], total: int, low: list[int]
) -> dict[str, int]:
    """Scales counts to a total; none grows unless the total exceeds them."""
    full = list(sizes.values())
    # The least that tensors keep may be more than some of them have.
    shrinks = sum(map(max, counts, low)) >= total
    high = list(map(max, counts, low)) if shrinks else full
    # A share of at least 1: an empty tensor can take what others cannot.
    shares = [max(count, 1) for count in counts]
    return dict(zip(sizes, apportion(total, shares, low, high), strict=True))


def _grown(
    sizes: Mapping[str, int],
    now: list[int],
    stay: list[int],
    total: int,
    growth: Mapping[str, Tensor],
) -> dict[str, int]:
    """Adds to what stays by the largest growth scores of all tensors."""
    room = [
        size - max(count, kept)
        for size, count, kept in zip(sizes.values(), now, stay, strict=True)
    ]
    wanted = min(total - sum(stay), sum(room))
    found = top_counts(growth, wanted, names=list(sizes))
    counts = [
        kept + min(found[name], free)
        for name, kept, free in zip(sizes, stay, room, strict=True)
    ]
    # Where little is left to grow, less is given up than was planned.
    rest = total - sum(counts)
    spare = [
        size - count for size, count in zip(sizes.values(), counts, strict=True)
    ]
    more = apportion(rest, spare, [0] * len(spare), spare)
    return {
        name: count + extra
        for name, count, extra in zip(sizes, counts, more, strict=True)
    }
