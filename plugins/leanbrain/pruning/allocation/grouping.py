"""Grouping: parts of a model are pruned more or less than others."""

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from math import lcm

from torch import Tensor

from leanbrain.checks import UserError, check_positive, nearest
from leanbrain.pruning.allocation.shares import apportion, bounds
from leanbrain.pruning.scores.lazy import shapes_of

__all__ = ["per_group"]

logger = logging.getLogger(__name__)


def per_group(
    saliency: Mapping[str, Tensor],
    sparsity: float,
    *,
    relative_density: Mapping[str, float],
    min_keep: int = 1,
) -> dict[str, int]:
    """Keeps shares in given proportions, the same for all tensors of a group.

    Where the density of a group would exceed 1 it stays dense, and the others
    make up for it.

    Arguments
    ---------
    saliency : Mapping[str, Tensor]
        One tensor per parameter; only the shapes are used.
    sparsity : float
        Removed share of all weights together, in [0, 1).
    relative_density : Mapping[str, float]
        Pattern (`*`, `?`, `[...]`, as for file names) on parameter names ->
        number > 0. The first pattern that matches a name is taken; a name at
        2 keeps twice the share of one at 1. End with "*" for all others. A
        pattern that matches nothing is told, once, and has no effect: a method
        is for models of many names.
    min_keep : int
        The least that a tensor keeps (all of it if it is smaller).

    Returns
    -------
    dict
        Name -> keep-count; the sum is `keep_total` of all weights.

    Raises
    ------
    UserError
        If a setting is out of its range, patterns before one leave nothing
        to it, a name matches none, or `min_keep` exceeds the total.

    Example
    -------
    >>> import torch
    >>> scores = {"encoder.w": torch.ones(10), "decoder.w": torch.ones(10)}
    >>> per_group(scores, 0.7, relative_density={"decoder.*": 2, "*": 1})
    {'encoder.w': 2, 'decoder.w': 4}
    """
    sizes = {name: s.numel() for name, s in shapes_of(saliency).items()}
    total, low = bounds(sizes, sparsity, min_keep)
    weights = _weights(list(sizes), relative_density)
    full = list(sizes.values())
    shares = [w * size for w, size in zip(weights, full, strict=True)]
    parts = apportion(total, shares, list(low.values()), full)
    return dict(zip(sizes, parts, strict=True))


def _weights(
    names: list[str], relative_density: Mapping[str, float]
) -> list[int]:
    """Returns the relative density of each name, scaled to whole numbers."""
    numbers = {
        pattern: Fraction(str(check_positive(f"relative_density.{pattern}", x)))
        for pattern, x in relative_density.items()
    }
    chosen = [_first_match(name, relative_density) for name in names]
    for pattern in relative_density:
        if pattern in chosen:
            continue
        if any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"`relative_density` pattern {pattern!r} must be the first "
                "that matches some parameter, got all of them matched by "
                "patterns before it."
            )
        _say_unmatched(pattern, ", ".join(nearest(pattern, names) or names[:3]))
    # Whole numbers: the counts are the same on every machine.
    scale = lcm(*(number.denominator for number in numbers.values()))
    return [int(numbers[pattern] * scale) for pattern in chosen]


@cache  # at every update anew it would be noise
def _say_unmatched(pattern: str, close: str) -> None:
    logger.warning(
        "`relative_density` pattern %r matches no parameter (nearest: %s).",
        pattern,
        close,
    )


def _first_match(name: str, patterns: Mapping[str, float]) -> str:
    """Finds the pattern that a name falls under."""
    for pattern in patterns:
        if fnmatchcase(name, pattern):
            return pattern
    raise UserError(
        f"`relative_density` must have a pattern for {name!r}, got "
        f"{', '.join(patterns) or 'none'}; add '*' for all others."
    )
