"""The randomisation test of `comparison`: pairs of trials are exchanged."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np

__all__ = ["TIE", "Exchanges"]

EXACT = 4096
"""Up to so many exchanges all are taken, otherwise a sample of as many."""

LISTED_TRIALS = 10
"""Up to so many trials all patterns of a study are listed."""

TIE = 1e-9
"""Log ratios that differ by less are equal."""

PRECISION = 1e-5
"""Of the ends of intervals, as log ratios."""


class Exchanges:
    """All ways to exchange the paired trials of two optimizers.

    The statistic is the log ratio of the times of studies (those of their
    fastest trials), as a mean over workloads and studies. A pair of trials is
    exchanged on all workloads at once; with one trial per study, on each
    workload by itself.

    Arguments
    ---------
    x, y : array [workloads, studies, trials]
        Log times.

    Example
    -------
    >>> x = np.log([[[10.0, 12.0], [11.0, 10.0], [9.0, 14.0]]])
    >>> exchanges = Exchanges(x, x + 1.0)
    >>> exchanges.suffice(0.05), exchanges.beyond(0.0, sign=-1)
    (True, 0.015625)
    """

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        if x.shape[-1] == 1:
            # No points that workloads share: each run is a pair of its own.
            x, y = x.reshape(1, -1, 1), y.reshape(1, -1, 1)
        self._x, self._y = x, y
        self._masks, self._rows = _exchanges(*x.shape[-2:])

    def suffice(self, error: float) -> bool:
        """Whether the most extreme data would be rejected at all."""
        return 1.0 / len(self._rows) <= error / 2

    def beyond(self, shift: float, sign: int) -> float:
        """The share of exchanges that are at least as far out as the data.

        Arguments
        ---------
        shift : float
            The log ratio that is tested.
        sign : int
            1: as large as the data, -1: as small.

        Returns
        -------
        float
            The p-value of the one-sided test.
        """
        totals = sign * self._totals(shift)
        return float(np.mean(totals >= totals[0] - TIE))

    def interval(self, error: float) -> tuple[float, float]:
        """The log ratios that are not rejected.

        Arguments
        ---------
        error : float
            Of both sides together.

        Returns
        -------
        tuple
            Low and high end.
        """
        x, y = self._x, self._y
        # Beyond these the optimizers do not even overlap.
        ends = float(x.min() - y.max()) - 1.0, float(x.max() - y.min()) + 1.0
        low = _edge(*ends, lambda s: self.beyond(s, 1) <= error / 2)
        high = _edge(*ends[::-1], lambda s: self.beyond(s, -1) <= error / 2)
        return low, high

    def _totals(self, shift: float) -> np.ndarray:
        """The log ratio, summed over studies, after each exchange."""
        x, y = self._x - shift, self._y
        chosen = self._masks[:, None, None, :]
        first = np.where(chosen, y, x).min(axis=-1)
        second = np.where(chosen, x, y).min(axis=-1)
        ratios = (first - second).mean(axis=1)  # [patterns, studies]
        columns = np.arange(self._rows.shape[1])
        return ratios[self._rows, columns].sum(axis=1)


def _edge(
    out: float, within: float, rejected: Callable[[float], bool]
) -> float:
    """Where rejection ends on the way in; errs on the rejected side.

    It ends once: a shift takes all of the data with it, but of exchanged data
    only those values that were not exchanged.
    """
    while abs(out - within) > PRECISION:
        middle = (out + within) / 2
        out, within = (middle, within) if rejected(middle) else (out, middle)
    return out


@functools.cache
def _exchanges(studies: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Patterns of a study, and which pattern each study has in an exchange.

    Returns
    -------
    tuple
        [patterns, trials], True: exchanged; [exchanges, studies], places in
        it. The first exchange is none at all.
    """
    random = np.random.default_rng(0)
    if trials <= LISTED_TRIALS:
        masks = np.array(list(itertools.product([False, True], repeat=trials)))
    else:
        masks = random.random((2**LISTED_TRIALS, trials)) < 0.5
        masks[0] = False
    count = len(masks)
    if count**studies <= EXACT:
        places = itertools.product(range(count), repeat=studies)
        return masks, np.array(list(places))
    rows = random.integers(count, size=(EXACT, studies))
    rows[0] = 0
    return masks, rows
