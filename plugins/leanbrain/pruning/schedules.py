"""Schedules: the share of weights that is removed, as training proceeds.

A schedule maps progress, the share of the pruning period that is over, to a
sparsity. Progress outside [0, 1] is clamped; the ends are exact, so that the
planned sparsity is the one that was asked for and not a rounding away from it.
"""

import math
import numbers
from typing import Any

from leanbrain.checks import UserError, check_fraction, check_int

__all__ = ["clamp_progress", "constant", "cubic", "geometric", "linear"]


def constant(progress: float, *, sparsity: float) -> float:
    """Keeps one sparsity from the first step to the last.

    Arguments
    ---------
    progress : float
        Share of the pruning period that is over; it has no effect.
    sparsity : float
        Removed share of the weights, in [0, 1).

    Returns
    -------
    float
        The sparsity.

    Raises
    ------
    UserError
        If a setting is out of its range or progress is not a number.

    Example
    -------
    >>> constant(0.3, sparsity=0.7)
    0.7
    """
    clamp_progress(progress)
    return check_fraction("sparsity", sparsity, high_open=True)


def linear(progress: float, *, initial: float, final: float) -> float:
    """Moves from one sparsity to another at an even pace.

    Arguments
    ---------
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    initial : float
        Sparsity at the start, in [0, 1).
    final : float
        Sparsity at the end, in [0, 1).

    Returns
    -------
    float
        The sparsity.

    Raises
    ------
    UserError
        If a setting is out of its range or progress is not a number.

    Example
    -------
    >>> linear(0.5, initial=0.25, final=0.75)
    0.5
    """
    initial, final = _check_ends(initial, final)
    left = 1.0 - clamp_progress(progress)
    return _between(initial, final, left)


def cubic(progress: float, *, initial: float, final: float) -> float:
    """Prunes fast while many weights are left and slowly at the end.

    Arguments
    ---------
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    initial : float
        Sparsity at the start, in [0, 1).
    final : float
        Sparsity at the end, in [0, 1).

    Returns
    -------
    float
        The sparsity.

    Raises
    ------
    UserError
        If a setting is out of its range or progress is not a number.

    Reference
    ---------
    Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878, eq. 1:
    s = s1 + (s0 - s1) * (1 - progress)^3.

    Example
    -------
    >>> cubic(0.5, initial=0.0, final=0.5)
    0.4375
    """
    initial, final = _check_ends(initial, final)
    left = 1.0 - clamp_progress(progress)
    # Products are monotone in floating point, a power need not be.
    return _between(initial, final, left * left * left)


def geometric(
    progress: float, *, initial: float, final: float, rounds: int
) -> float:
    """Removes an equal share of the survivors in every round.

    This is the schedule of iterative magnitude pruning. Progress is cut into
    `rounds + 1` equal parts: the first is trained at `initial`, then follow
    `rounds` prunings, each with its own part of training, so that the model
    of the last round is trained as long as the others.

    Arguments
    ---------
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    initial : float
        Sparsity at the start, in [0, 1).
    final : float
        Sparsity after the last round, in [0, 1).
    rounds : int
        How many prunings lead from `initial` to `final`, at least 1.

    Returns
    -------
    float
        The sparsity.

    Raises
    ------
    UserError
        If a setting is out of its range or progress is not a number.

    Reference
    ---------
    Frankle and Carbin, "The lottery ticket hypothesis", arXiv 1803.03635,
    section 1: each round prunes p^(1/n) of the survivors.

    Example
    -------
    >>> stairs = [
    ...     geometric(p / 4, initial=0.0, final=0.875, rounds=3)
    ...     for p in range(5)
    ... ]
    >>> [round(sparsity, 6) for sparsity in stairs]
    [0.0, 0.5, 0.75, 0.875, 0.875]
    """
    initial, final = _check_ends(initial, final)
    rounds = check_int("rounds", rounds, low=1)
    # Steps divided by steps may fall a rounding short of the exact stair.
    done = math.floor(clamp_progress(progress) * (rounds + 1) + 1e-9)
    if done <= 0:
        return initial
    if done >= rounds:
        return final
    factor = ((1.0 - final) / (1.0 - initial)) ** (done / rounds)
    return _clip(1.0 - (1.0 - initial) * factor, initial, final)


def clamp_progress(progress: Any) -> float:
    """Clamps progress to [0, 1].

    Arguments
    ---------
    progress : float
        Share of a period that is over; runs may overshoot both ends.

    Returns
    -------
    float
        The nearest number in [0, 1].

    Raises
    ------
    UserError
        If progress is not a real number or is NaN.

    Example
    -------
    >>> clamp_progress(1.2)
    1.0
    """
    if (
        isinstance(progress, bool)
        or not isinstance(progress, numbers.Real)
        or math.isnan(progress)
    ):
        raise UserError(f"`progress` must be a number, got {progress!r}.")
    return min(max(float(progress), 0.0), 1.0)


def _check_ends(initial: Any, final: Any) -> tuple[float, float]:
    """Checks both ends of a schedule."""
    return (
        check_fraction("initial", initial, high_open=True),
        check_fraction("final", final, high_open=True),
    )


def _between(initial: float, final: float, left: float) -> float:
    """Interpolates; `left` falls from 1 at the start to 0 at the end."""
    if left >= 1.0:
        return initial
    return _clip(final + (initial - final) * left, initial, final)


def _clip(value: float, initial: float, final: float) -> float:
    """Keeps rounding from leaving the interval, which would not be monotone."""
    return min(max(value, min(initial, final)), max(initial, final))
