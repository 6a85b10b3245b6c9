"""Exact selection of the largest entries, much faster than a sort.

The result never depends on the sample that `brackets` begins with: where it
misleads, everything is ranked.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int
from leanbrain.pruning.updates.booleans import count_true
from leanbrain.pruning.updates.brackets import bracket, sample, settle, split

__all__ = ["check_rankable", "top_counts", "top_mask"]


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
    _check_floating(name, score)
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
    if keep in (0, available):
        check_rankable(name, score)
        chosen = torch.full_like(flat, keep > 0, dtype=torch.bool)
        return (chosen if pool is None else chosen & pool).view(score.shape)
    cut = bracket([sample(flat, pool)], keep / available)
    above, near, values = _around(name, flat, pool, cut)
    missing = keep - count_true(above)
    if not 0 <= missing <= near.numel():
        cut = -math.inf, math.inf
        above, near, values = _around(name, flat, pool, cut)
        missing = keep
    above.scatter_(0, near, settle(values, missing))
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
        samples.append(sample(score.detach().reshape(-1), None, available))
    if keep == 0:
        return dict.fromkeys(names, 0)
    low, high = bracket(samples, keep / available)
    counts, near = _gather(scores, names, low, high)
    missing = keep - sum(counts)
    if not 0 <= missing <= sum(part.numel() for part in near):
        counts, near = _gather(scores, names, -math.inf, math.inf)
        missing = keep
    taken = settle(torch.cat(near), missing)
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
    _check_floating(name, score)
    # One cheap pass: a sum without NaN has no NaN among its terms. The
    # reverse is not true (inf - inf), hence the second look.
    if bool(score.sum().isnan()) and bool(score.isnan().any()):
        count = int(score.isnan().sum())
        raise UserError(f"`{name}` must be free of NaN, got {count} of them.")


def _check_floating(name: str, score: Tensor) -> None:
    """Refuses scores that are whole numbers or bools."""
    if not score.is_floating_point():
        raise UserError(
            f"`{name}` must be a floating-point tensor, got {score.dtype}."
        )


def _around(
    name: str, flat: Tensor, pool: Tensor | None, cut: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates above a bracket (mask) and inside it (indices, scores)."""
    above, near = split(flat, *cut)
    values = flat.index_select(0, near)
    if bool(values.sum().isnan()):  # inf - inf as well, which is none
        check_rankable(name, flat)
    if pool is not None:
        above &= pool
        inside = pool.index_select(0, near)
        near, values = near[inside], values[inside]
    return above, near, values


def _gather(
    scores: Mapping[str, Tensor], names: Iterable[str], low: float, high: float
) -> tuple[list[int], list[Tensor]]:
    """Counts the entries above a bracket and gathers those inside it."""
    counts, gathered = [], []
    for name in names:
        flat = scores[name].detach().reshape(-1)
        above, near = split(flat, low, high)
        counts.append(count_true(above))
        gathered.append(flat.index_select(0, near))
    return counts, gathered
