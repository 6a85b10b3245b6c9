"""The A/A test: how often are equal optimizers called different?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from leanbrain.checks import UserError, check_int
from leanbrain.optbench.statistics.comparison import quick_verdict
from leanbrain.optbench.statistics.tables import as_times

__all__ = ["aa_rate"]


def aa_rate(
    pool: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    *,
    studies: int = 3,
    trials: int = 3,
    repeats: int = 200,
    confidence: float = 0.95,
    max_ratio: float = 4.0,
) -> float:
    """Compares an optimizer with itself, again and again.

    Two sets of studies x trials are drawn from the trials of one optimizer,
    without replacement if there are enough of them, and compared as if they
    were two optimizers.

    Arguments
    ---------
    pool : Mapping
        Workload -> seconds of all trials; entry i of every workload is of the
        same point. Any shape; at least 2 x studies x trials should be there,
        or the two sets share trials and look more alike than they should.
    rng : np.random.Generator
        Draws.
    studies, trials : int
        As in the benchmark.
    repeats : int
        How many comparisons. Of 200 the share varies by 1.2 percentage points
        (one standard deviation) around a true 3 %.
    confidence, max_ratio : float
        As for `compare`.

    Returns
    -------
    float
        Share of comparisons that declared a winner: below 1 - confidence if
        the intervals are honest.

    Raises
    ------
    UserError
        If workloads have different numbers of trials, or none.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> pool = {"x": np.exp(0.2 * rng.standard_normal(40))}
    >>> aa_rate(pool, rng, repeats=50) <= 0.1
    True
    """
    check_int("repeats", repeats, low=1)
    count = check_int("studies", studies, low=1) * check_int(
        "trials", trials, low=1
    )
    flat = {name: as_times(times).ravel() for name, times in pool.items()}
    sizes = {len(x) for x in flat.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise UserError(
            "All workloads of the A/A test must have equally many trials, got "
            f"{ {k: len(v) for k, v in flat.items()} }."
        )
    size = sizes.pop()
    different = 0
    for _ in range(repeats):
        chosen = rng.choice(size, 2 * count, replace=size < 2 * count)
        places = chosen.reshape(2, studies, trials)
        a, b = ({k: x[p] for k, x in flat.items()} for p in places)
        verdict = quick_verdict(
            a, b, confidence=confidence, max_ratio=max_ratio
        )
        different += verdict in ("faster", "slower")
    return different / repeats
