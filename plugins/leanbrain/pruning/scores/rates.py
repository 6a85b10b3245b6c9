"""How fast learned scores should move, by the length of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leanbrain.checks import check_fraction, check_int, check_positive

__all__ = ["wandering_rate"]


def wandering_rate(
    wander: float, total_steps: int, pathways: Sequence[str], heal: float
) -> float:
    """Computes the `lr` with which noise alone moves scores so far in a run.

    Gradients that are noise let a score wander by about lr * sqrt(N) in N
    micro-batches, those that agree move it by lr * N: the longer the run, the
    more of what is learned is no noise, if the wandering stays the same.

    Arguments
    ---------
    wander : float
        How far noise moves a score until masks freeze, as a standard
        deviation, in ranks: 1 is from the least to the best weight of a
        tensor. > 0.
    total_steps : int
        Optimizer steps of the run, of one batch each. With gradients that
        are accumulated over N batches, scores move N times as often.
    pathways : Sequence[str]
        Of these, each gets its share of the steps.
    heal : float
        Share of the run with frozen masks, in [0, 1).

    Returns
    -------
    float
        For `LearnedScore`.

    Example
    -------
    >>> wandering_rate(0.5, total_steps=250, pathways=["en", "ru"], heal=0.2)
    0.05
    """
    steps = check_int("total_steps", total_steps, low=1)
    learning = 1.0 - check_fraction("heal", heal, high_open=True)
    wander = check_positive("wander", wander)
    return wander / math.sqrt(steps * learning / max(1, len(pathways)))
