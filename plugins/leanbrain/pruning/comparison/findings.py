"""From kept results to findings: means, intervals, paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leanbrain.checks import UserError, check_known
from leanbrain.pruning.comparison.points import (
    MANY,
    Findings,
    Point,
    Versus,
)
from leanbrain.pruning.comparison.rows import Kept, key
from leanbrain.pruning.comparison.statistics import band, hierarchical

__all__ = ["MANY", "Findings", "Point", "Versus", "analyse"]

REFERENCE = "adaptive"

_DRAWS = 10_000


def analyse(
    kept: Kept,
    reference: str | None = None,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
    bands: bool = True,
) -> Findings:
    """Computes means, bands and paired differences.

    Arguments
    ---------
    kept : Kept
        The results.
    reference : str | None
        The method that all others are compared with; None takes "adaptive",
        or the first sparse method where there is none of that name.
    draws : int
        Resamples of each interval.
    confidence : float
        Of the intervals.
    seed : int
        Of the resampling: the same results give the same page.
    bands : bool
        Whether to compute the intervals of single methods as well.

    Returns
    -------
    Findings
        What the report shows.

    Raises
    ------
    UserError
        If there is no sparse result, or none of the reference.
    """
    sparse = [x["method"] for x in kept.rows if x["sparsity"] > 0.0]
    if not sparse:
        raise UserError(
            "A report needs the results of at least one sparse run, got "
            f"{len(kept.rows)} rows."
        )
    if reference is None:
        reference = REFERENCE if REFERENCE in sparse else sparse[0]
    check_known("reference", reference, dict.fromkeys(sparse))
    settings = {"n": draws, "confidence": confidence}
    points = [
        _point(kept, rows, seed, settings if bands else None)
        for rows in _groups(kept.rows)
    ]
    versus, problems = _compare(kept, reference, points, seed, settings)
    return Findings(
        kept,
        reference,
        tuple(points),
        tuple(versus),
        confidence,
        tuple(problems),
    )


def _groups(
    rows: Sequence[Mapping[str, Any]],
) -> list[list[Mapping[str, Any]]]:
    """Collects the rows of each method and sparsity."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["sparsity"]), []).append(row)
    return list(groups.values())


def _point(
    kept: Kept,
    rows: Sequence[Mapping[str, Any]],
    seed: int,
    settings: Mapping[str, Any] | None,
) -> Point:
    """Averages a method at a sparsity."""
    method, sparsity = rows[0]["method"], rows[0]["sparsity"]
    edits = _edits(kept, method, sparsity, [x["seed"] for x in rows])
    if settings is None or len(edits) < len(rows):
        mean = statistics.mean(x["mean_cer"] for x in rows)
        return Point(method, sparsity, tuple(rows), mean, math.nan, math.nan)
    found = band(
        edits,
        kept.utterances["characters"],
        generator=np.random.default_rng(seed),
        **settings,
    )
    return Point(
        method, sparsity, tuple(rows), found.mean, found.low, found.high
    )


def _compare(
    kept: Kept,
    reference: str,
    points: Sequence[Point],
    seed: int,
    settings: Mapping[str, Any],
) -> tuple[list[Versus], list[str]]:
    """Compares the reference with all others, where both have a seed."""
    versus, problems = [], []
    sparse = [x for x in points if x.method == reference and x.sparsity]
    for point in sorted(sparse, key=lambda x: x.sparsity):
        for other in points:
            if other.method == reference:
                continue
            if other.sparsity not in (0.0, point.sparsity):
                continue
            common = [x for x in point.seeds if x in other.seeds]
            mine = _edits(kept, point.method, point.sparsity, common)
            others = _edits(kept, other.method, other.sparsity, common)
            if not common or not len(mine) == len(others) == len(common):
                problems.append(
                    f"{reference} at {100 * point.sparsity:g} % is not "
                    f"compared with {other.method}: no seed of both, or no "
                    "edits by utterance."
                )
                continue
            difference = hierarchical(
                mine,
                others,
                kept.utterances["characters"],
                generator=np.random.default_rng(seed),
                **settings,
            )
            versus.append(Versus(point, other, difference))
    return versus, problems


def _edits(
    kept: Kept, method: str, sparsity: float, seeds: Sequence[int]
) -> dict[int, Mapping[str, Sequence[int]]]:
    """Character edits by seed, language and utterance, where known."""
    edits = kept.utterances["edits"]
    known = {x: edits.get(key(method, sparsity, x)) for x in seeds}
    return {x: by_language for x, by_language in known.items() if by_language}
