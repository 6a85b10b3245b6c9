"""The tables of a comparison: cells as text, the header first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from leanbrain.pruning.comparison.clustering import (
    differs,
    mean_overlap,
    pair_overlaps,
)
from leanbrain.pruning.comparison.points import (
    MANY,
    Findings,
    Point,
    Versus,
)

__all__ = [
    "by_language",
    "count",
    "densities",
    "differences",
    "listed",
    "overlaps",
    "percent",
    "results",
    "share",
]

Table = list[list[str]]
_UNKNOWN = "–"


def percent(value: float) -> str:
    """Writes a share as percent.

    Example
    -------
    >>> percent(0.7), percent(0.975)
    ('70 %', '97.5 %')
    """
    return f"{round(100 * value, 6):g} %"


def share(value: float) -> str:
    """Writes a relative difference, with its sign.

    Example
    -------
    >>> share(-0.0583)
    '-5.8 %'
    """
    return _UNKNOWN if math.isnan(value) else f"{100 * value:+.1f} %"


def count(value: float | None) -> str:
    """Writes a number of steps.

    Example
    -------
    >>> count(12600.0)
    '12,600'
    """
    return _UNKNOWN if value is None else f"{value:,.0f}"


def listed(names: Sequence[str]) -> str:
    """Joins names as a sentence does.

    Example
    -------
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *start, last = names
    return f"{', '.join(start)} and {last}" if start else last


def results(found: Findings) -> Table:
    """Lists error, interval and cost of every method at every sparsity.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        The rows; the dense models first, then by sparsity.
    """
    header = ["method", "sparsity", "seeds", f"CER % ({_level(found)})"]
    header += ["WER %", "steps", "of all runs", "start steps", "TFLOP"]
    header += ["kept by any", "minutes"]
    rows = [header]
    for sparsity in (0.0, *found.sparsities):
        rows += [_result(x) for x in found.at(sparsity)]
    return rows


def differences(found: Findings) -> Table:
    """Lists the paired differences, reference minus other.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        The rows, by sparsity; lower is better for the reference. A column of
        the number of seeds where not all differences are of as many.
    """
    level = _level(found)
    header = ["compared with", "sparsity", f"points ({level})"]
    header += [f"relative ({level})", "error is"]
    header += [f"steps {found.reference}", "steps other"]
    rows = [header, *(_difference(found, x) for x in found.versus)]
    seeds = [len(x.seeds) for x in found.versus]
    if len(set(seeds)) > 1:
        for row, number in zip(rows, ["seeds", *map(str, seeds)], strict=True):
            row.insert(2, number)
    return rows


def by_language(found: Findings, rate: str = "cer") -> Table:
    """Lists the errors of every language, mean over the seeds.

    Arguments
    ---------
    found : Findings
        The results.
    rate : str
        "cer" of characters, "wer" of words.

    Returns
    -------
    list
        The rows. Below the other methods stand the differences, reference
        minus other, of the seeds that both have; not where there are many
        methods.
    """
    names = list(found.kept.languages)
    columns = [f"{rate}_{x}" for x in names]
    columns = [f"mean_{rate}", *columns]
    rows = [["method", "sparsity", "mean", *names]]
    for sparsity in (0.0, *found.sparsities):
        for point in found.at(sparsity):
            cells = [_fixed(point.average(x)) for x in columns]
            rows.append([point.method, percent(sparsity), *cells])
            if not sparsity or len(found.at(sparsity)) > MANY:
                continue
            rows += [
                [f"{found.reference} − {point.method}", "", *_minus(x, columns)]
                for x in found.versus
                if x.other is point
            ]
    return rows


def overlaps(found: Findings) -> Table:
    """Lists how much the pathways share, for methods whose masks differ.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        The rows; only the header where all masks are one.
    """
    rows = [["method", "sparsity", "mean overlap", "by chance"]]
    rows[0] += ["closest", "overlap", "farthest", "overlap "]
    for sparsity in found.sparsities:
        for point in found.at(sparsity):
            kept = found.of_runs(found.kept.overlap, point)
            if not kept:
                continue
            names, matrix = mean_overlap(kept)
            if not differs(matrix):
                continue
            pairs = pair_overlaps(names, matrix)
            (near, most), *_, (far, least) = [*pairs.items()] * 2
            density = 1.0 - sparsity
            cells = [sum(pairs.values()) / len(pairs), density / (2 - density)]
            rows.append(
                [point.method, percent(sparsity), *map(_fixed, cells)]
                + [" ".join(near), _fixed(most), " ".join(far), _fixed(least)]
            )
    return rows


def densities(found: Findings, sparsity: float) -> dict[str, dict[str, float]]:
    """Averages the share of each target that is kept.

    Arguments
    ---------
    found : Findings
        The results.
    sparsity : float
        At which one.

    Returns
    -------
    dict
        Method -> target -> mean over seeds and pathways.
    """
    columns: dict[str, dict[str, float]] = {}
    for point in found.at(sparsity):
        runs = found.of_runs(found.kept.density, point)
        maps: list[Mapping[str, float]] = [y for x in runs for y in x.values()]
        if maps:
            columns[point.method] = {
                k: sum(x[k] for x in maps) / len(maps) for k in maps[0]
            }
    return columns


def _result(point: Point) -> list[str]:
    """One row of the results."""
    flops = point.average("flops")
    union = point.average("union_density")
    return [
        point.method,
        percent(point.sparsity),
        str(len(point.rows)),
        _with_interval(point),
        _fixed(point.average("mean_wer")),
        count(point.average("steps")),
        count(point.average("total_steps")),
        count(point.average("start_steps")),
        _UNKNOWN if flops is None else f"{flops / 1e12:,.1f}",
        _UNKNOWN if union is None else f"{100 * union:.1f} %",
        count(point.average("minutes")),
    ]


def _with_interval(point: Point) -> str:
    """Writes the error of a method, with its interval where it is known."""
    if math.isnan(point.low):
        return _fixed(point.mean)
    return f"{point.mean:.2f} ({point.low:.2f} to {point.high:.2f})"


def _difference(found: Findings, versus: Versus) -> list[str]:
    """One row of the differences."""
    point, other, gap = versus.point, versus.other, versus.difference
    verdict = "lower" if versus.lower else "undecided"
    low, high = 100 * gap.relative_low, 100 * gap.relative_high
    return [
        other.method,
        percent(point.sparsity),
        f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})",
        f"{share(gap.relative)} ({low:+.1f} to {high:+.1f})",
        "higher" if versus.higher else verdict,
        count(found.steps_of(point)),
        count(found.steps_of(other)),
    ]


def _minus(versus: Versus, columns: Sequence[str]) -> list[str]:
    """Differences of some columns over the common seeds."""
    mine = {x["seed"]: x for x in versus.point.rows}
    others = {x["seed"]: x for x in versus.other.rows}
    pairs = [(mine[x], others[x]) for x in mine if x in others]
    cells = []
    for column in columns:
        gaps = [_gap(a.get(column), b.get(column)) for a, b in pairs]
        known = [x for x in gaps if x is not None]
        whole = known and len(known) == len(gaps)
        cells.append(f"{sum(known) / len(known):+.2f}" if whole else _UNKNOWN)
    return cells


def _gap(one: Any, other: Any) -> float | None:
    """Difference of two cells, where both are numbers."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(one - other)
    return None


def _fixed(value: float | None) -> str:
    """Two digits behind the point."""
    return _UNKNOWN if value is None else f"{value:.2f}"


def _level(found: Findings) -> str:
    """Heading of a column of intervals."""
    return f"{percent(found.confidence)} interval"
