"""Schedules of the learning rate: progress of training -> a multiplier.

A multiplier, not a learning rate: every parameter group keeps its own base
rate, and the ratios between groups survive. Progress is the share of the
planned steps that is over, so that one file fits all lengths of training.
"""

import math

from leanbrain.checks import check_fraction

__all__ = ["constant", "warmup_constant", "warmup_cosine"]


def constant(progress: float) -> float:
    """Keeps the base rate throughout.

    Arguments
    ---------
    progress : float
        Share of the training that is over; it has no effect.

    Returns
    -------
    float
        1.

    Example
    -------
    >>> constant(0.3)
    1.0
    """
    _clamp(progress)
    return 1.0


def warmup_constant(progress: float, *, warmup: float = 0.05) -> float:
    """Rises linearly from 0 to the base rate and stays there.

    For optimizers that average or estimate the rate themselves.

    Arguments
    ---------
    progress : float
        Share of the training that is over; clamped to [0, 1].
    warmup : float
        Share of the training that the rise takes, in [0, 1]; 0 is no rise.

    Returns
    -------
    float
        The multiplier, in [0, 1].

    Raises
    ------
    UserError
        If `warmup` is outside [0, 1] or progress is not a number.

    Example
    -------
    >>> warmup_constant(0.025, warmup=0.05)
    0.5
    """
    progress = _clamp(progress)
    warmup = check_fraction("warmup", warmup)
    return progress / warmup if progress < warmup else 1.0


def warmup_cosine(progress: float, *, warmup: float = 0.05) -> float:
    """Rises linearly from 0 to the base rate, then falls to 0 as a cosine.

    The schedule of AlgoPerf's baselines and target setting.

    Arguments
    ---------
    progress : float
        Share of the training that is over; clamped to [0, 1].
    warmup : float
        Share of the training that the rise takes, in [0, 1]; 0 is no rise.

    Returns
    -------
    float
        The multiplier, in [0, 1].

    Raises
    ------
    UserError
        If `warmup` is outside [0, 1] or progress is not a number.

    Reference
    ---------
    arXiv 2306.07179 (AlgoPerf), target-setting algorithms.

    Example
    -------
    >>> [warmup_cosine(p, warmup=0.2) for p in (0.0, 0.1, 0.2, 1.0)]
    [0.0, 0.5, 1.0, 0.0]
    """
    rise = warmup_constant(progress, warmup=warmup)
    if rise < 1.0 or warmup == 1.0:
        return rise
    fallen = (_clamp(progress) - warmup) / (1.0 - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * fallen))


def _clamp(progress: float) -> float:
    """Clamps progress to [0, 1]; NaN is refused."""
    # Rounding may carry step / steps past the end, which is no error.
    low, high = -math.inf, math.inf
    value = check_fraction("progress", progress, low=low, high=high)
    return min(1.0, max(0.0, value))
