"""Is the difference between two optimizers real? A ratio with an interval.

The unit of the data is the trial: one run with a point and a seed of its own;
the time of a study is that of its fastest trial. Trial i of study s of both
optimizers are a pair (same seed; the same place in the quasi-random
sequence). If the optimizers were equal, exchanging the two trials of any pair
would change nothing but chance. The interval is that of this randomisation
test: every ratio that it does not reject, at the chosen confidence. A pair is
exchanged on all workloads at once, since a good point is good on many of them;
with one trial per study there are no points, and each workload is exchanged
alone. Nothing is assumed about how times are distributed; steps on a grid,
ties and trials that never reached the target are dealt with.

Whatever all trials of a study share, such as the machine, is no part of that
test. So the interval is widened, where needed, to the paired t interval of the
studies' log ratios, at twice the error (90 % for 95 %). Where there are too
few pairs for the test (three studies of one trial on one workload) the t
interval stands alone, at full confidence.

Simulated with three studies of three trials and a log-sd of 0.2 per trial,
equal optimizers are called different in 1 to 3 % of all cases, on one and on
three workloads, with light, heavy or one-sided tails, on grids, with 30 % of
the trials missed; in 6 % where studies differ as much as trials do. (A plain
percentile bootstrap over three studies: 15 % and more.) A ratio is found with
80 % chance from 1.35 on with three workloads, 1.5 if points are as good or bad
on all of them, 1.3 if the points of both optimizers are alike as well; from
1.6 on with one workload. `aa.aa_rate` measures the first figure on real runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from leanbrain.checks import UserError, check_fraction
from leanbrain.optbench.statistics.exchange import TIE, Exchanges
from leanbrain.optbench.statistics.tables import as_times

__all__ = ["Comparison", "capped_logs", "compare", "quick_verdict"]


@dataclass(frozen=True)
class Comparison:
    """How many times as long one optimizer takes as another.

    Arguments
    ---------
    ratio : float
        Time of the first over time of the second: below 1 the first is
        faster. Geometric mean over studies and workloads, each study having
        the time of its fastest trial.
    low, high : float
        Interval of the ratio; (0, inf) where there are too few runs for one.
    verdict : str
        "faster" or "slower" (the first one), if the interval lies on one
        side of 1; "tie", if it holds 1: no difference was shown, which does
        not show that there is none, and the interval says how large one may
        be; "undecided", if there is no interval.
    workloads : tuple[str, ...]
        On which at least one trial reached the target; others say nothing.
    unreached : float
        Share of the study times that were missing there. They were put at the
        limit: if above 0, ratio and interval are those of the times up to the
        limit, and for times of any length a bound at best.
    unreached_of : tuple[float, float]
        The same of the first and of the second one.
    """

    ratio: float
    low: float
    high: float
    verdict: str
    workloads: tuple[str, ...]
    unreached: float
    unreached_of: tuple[float, float] = (0.0, 0.0)

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval if what is missing may take any time.

        Times of the first one that are missing may make the ratio as large as
        can be, times of the second one as small.
        """
        first, second = self.unreached_of
        return (0.0 if second else self.low), (math.inf if first else self.high)


def compare(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike],
    *,
    confidence: float = 0.95,
    max_ratio: float = 4.0,
    budgets: Mapping[str, float] | None = None,
) -> Comparison:
    """Compares the times of two optimizers.

    Arguments
    ---------
    a, b : Mapping
        Workload -> seconds [studies, trials]; inf: target not reached. The
        workloads and shapes are the same.
    confidence : float
        Of the interval.
    max_ratio : float
        Where there is no budget, times count up to this multiple of the
        fastest trial.
    budgets : Mapping | None
        Workload -> seconds up to which times count; inf: no budget.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        If workloads or shapes differ.

    Example
    -------
    >>> a = {"x": [[10.0, 12.0, 30.0], [11.0, 10.0, 31.0], [9.0, 14.0, 28.0]]}
    >>> b = {"x": [[21.0, 23.0, 60.0], [22.0, 24.0, 66.0], [20.0, 26.0, 51.0]]}
    >>> found = compare(a, b)
    >>> round(found.ratio, 2), found.verdict
    (0.46, 'faster')
    """
    check_fraction("confidence", confidence, low_open=True, high_open=True)
    workloads, logs, missing = capped_logs(a, b, max_ratio, budgets)
    if not workloads:
        return Comparison(
            math.nan, 0.0, math.inf, "undecided", (), 1.0, (1.0, 1.0)
        )
    x, y = logs
    low, high = _interval(x, y, 1.0 - confidence)
    ratio = float(np.exp((x.min(-1) - y.min(-1)).mean()))
    return Comparison(
        ratio=ratio,
        low=math.exp(low),
        high=math.exp(high),
        verdict=_verdict(low, high),
        workloads=workloads,
        unreached=sum(missing) / 2,
        unreached_of=missing,
    )


def quick_verdict(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike],
    *,
    confidence: float = 0.95,
    max_ratio: float = 4.0,
    budgets: Mapping[str, float] | None = None,
) -> str:
    """The verdict of `compare`, without its interval: ten times as fast.

    Arguments
    ---------
    a, b, confidence, max_ratio, budgets : Any
        As for `compare`.

    Returns
    -------
    str
        "faster", "slower", "tie" or "undecided".
    """
    check_fraction("confidence", confidence, low_open=True, high_open=True)
    workloads, logs, _ = capped_logs(a, b, max_ratio, budgets)
    if not workloads:
        return "undecided"
    return _verdict(*_quick_interval(logs[0], logs[1], 1.0 - confidence))


def capped_logs(
    a: Mapping[str, ArrayLike],
    b: Mapping[str, ArrayLike],
    max_ratio: float,
    budgets: Mapping[str, float] | None = None,
) -> tuple[tuple[str, ...], np.ndarray, tuple[float, float]]:
    """Logs of the times, with what is missing put at the limit.

    Arguments
    ---------
    a, b, max_ratio, budgets : Any
        As for `compare`.

    Returns
    -------
    tuple
        The workloads that someone reached; log seconds [2, workloads,
        studies, trials]; share of study times that were missing, of `a` and
        of `b`.
    """
    if set(a) != set(b):
        odd = ", ".join(sorted(set(a) ^ set(b)))
        raise UserError(
            f"Both optimizers must have the same workloads, got {odd} of one."
        )
    used, tables, missing = [], [], []
    for name in a:
        pair = _pair(name, a[name], b[name])
        if not np.isfinite(pair).any():
            continue
        cap = (budgets or {}).get(name, math.inf)
        if not math.isfinite(cap):
            cap = float(pair.min()) * max_ratio
        used.append(name)
        tables.append(np.log(np.minimum(pair, cap)))
        missing.append(pair.min(axis=-1) > cap)
    shapes = {x.shape for x in tables}
    if len(shapes) > 1:
        raise UserError(
            "All workloads must have as many studies and trials, got "
            f"{', '.join(str(x[1:]) for x in sorted(shapes))}."
        )
    if not used:
        return (), np.zeros((2, 0, 0, 0)), (1.0, 1.0)
    first, second = np.mean(missing, axis=(0, 2)).tolist()
    return tuple(used), np.stack(tables, axis=1), (first, second)


def _pair(name: str, a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Times of both on a workload, [2, studies, trials]."""
    x, y = as_times(a), as_times(b)
    if x.shape != y.shape or x.ndim != 2 or not x.size:
        raise UserError(
            f"The times of both optimizers on {name} must be of one shape "
            f"[studies, trials], got {x.shape} and {y.shape}."
        )
    return np.stack([x, y])


def _verdict(low: float, high: float) -> str:
    """From an interval of the log ratio to a word."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    if high < -TIE:
        return "faster"
    return "slower" if low > TIE else "tie"


def _interval(
    x: np.ndarray, y: np.ndarray, error: float
) -> tuple[float, float]:
    """Interval of the mean log ratio of [workloads, studies, trials]."""
    exchanges = Exchanges(x, y)
    if not exchanges.suffice(error):
        return _study_interval(x, y, error, alone=True)
    low, high = exchanges.interval(error)
    shared = _study_interval(x, y, 2 * error, alone=False)
    return min(low, shared[0]), max(high, shared[1])


def _quick_interval(
    x: np.ndarray, y: np.ndarray, error: float
) -> tuple[float, float]:
    """As `_interval`, but only the signs of its ends are right."""
    exchanges = Exchanges(x, y)
    if not exchanges.suffice(error):
        return _study_interval(x, y, error, alone=True)
    low, high = _study_interval(x, y, 2 * error, alone=False)
    slower, faster = (exchanges.beyond(0.0, k) <= error / 2 for k in (1, -1))
    return (low if slower else min(low, -1.0)), (
        high if faster else max(high, 1.0)
    )


def _study_interval(
    x: np.ndarray, y: np.ndarray, error: float, *, alone: bool
) -> tuple[float, float]:
    """The paired t interval of the studies' mean log ratios."""
    ratios = (x.min(axis=-1) - y.min(axis=-1)).mean(axis=0)
    studies = len(ratios)
    if studies < 2:
        return (-math.inf, math.inf) if alone else (math.inf, -math.inf)
    spread = float(ratios.std(ddof=1))
    # Times on a grid: equal ratios do not mean that there is no spread.
    if alone and spread < TIE:
        return -math.inf, math.inf
    wide = float(stdtrit(studies - 1, 1.0 - error / 2)) * spread
    middle = float(ratios.mean())
    half = wide / math.sqrt(studies)
    return middle - half, middle + half
