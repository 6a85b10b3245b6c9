"""Which charts a comparison shows, and what each of them says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from leanbrain.chart_style import LIGHT
from leanbrain.page import Chart, Section
from leanbrain.pruning.comparison.charts import (
    Series,
    errors_figure,
    steps_figure,
)
from leanbrain.pruning.comparison.clustering import (
    differs,
    mean_overlap,
)
from leanbrain.pruning.comparison.kinship import kinship
from leanbrain.pruning.comparison.panels import (
    Gap,
    density_figure,
    gaps_figure,
    kinship_figure,
)
from leanbrain.pruning.comparison.points import MANY, Findings, Point
from leanbrain.pruning.comparison.tables import densities, percent

__all__ = ["pictures", "sections"]

_UNIT = "mean CER (%)"


def sections(found: Findings) -> list[Section]:
    """Chooses the charts of a report.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        The sections that have anything to show.
    """
    chosen = [
        _errors(found),
        _steps(found),
        _gaps(found),
        _overlaps(found),
        _densities(found),
    ]
    return [section for section in chosen if section.charts]


def pictures(found: Findings) -> dict[str, Figure]:
    """Draws the same charts for README files.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    dict
        Name of a file -> the chart.
    """
    names = ("errors", "steps", "differences", "overlap", "density")
    made = (_errors, _steps, _gaps, _overlaps, _densities)
    drawn = {}
    for name, make in zip(names, made, strict=True):
        for number, chart in enumerate(make(found).charts, start=1):
            drawn[f"{name}_{number}.png"] = chart.draw(theme=LIGHT)
    return drawn


def _errors(found: Findings) -> Section:
    """Error rates against sparsity."""
    series = []
    for method in found.methods:
        points = [x for x in found.points if x.method == method]
        sparse = sorted(
            (x for x in points if x.sparsity), key=lambda x: x.sparsity
        )
        if sparse:
            series.append(_series(found, sparse, [x.sparsity for x in sparse]))
        series += [_series(found, [x], []) for x in points if not x.sparsity]
    title = "Character error rate on test data"
    words = f"{title}, percent: " + "; ".join(
        f"{x.label} " + ", ".join(f"{y:.1f}" for y in x.y) for x in series
    )
    charts = [Chart(words, partial(errors_figure, series, title, _UNIT), True)]
    relative = _relative(found)
    if relative:
        title = f"Against {found.reference}"
        unit = f"more errors than {found.reference} (%)"
        draw = partial(errors_figure, relative, title, unit)
        charts.append(Chart(f"{title}: {unit}", draw, True))
    caption = (
        "Lower is better. One curve a method, mean over languages and seeds; "
        "what has no sparsity is a dashed line across. The axis does not begin "
        "at zero. A band is the interval of one method alone, which is wide as "
        "seeds and utterances differ: two bands may overlap where the paired "
        "difference is sure. That is what the second chart shows: above the "
        f"dashed line a method makes more errors than {found.reference}."
    )
    if len(found.curves) > MANY:
        caption += (
            f" With so many curves only {found.reference} has a band; all "
            "intervals are in the tables."
        )
    return Section("Errors against sparsity", caption, tuple(charts))


def _relative(found: Findings) -> list[Series]:
    """Relative differences, other against reference, in percent."""

    def more(value: float) -> float:
        """The same difference, seen from the reference."""
        # From reference / other - 1 to other / reference - 1.
        return 100 * (1 / (1 + value) - 1) if value > -1.0 else math.nan

    series = []
    for method in found.methods:
        versus = [
            x
            for x in found.versus
            if x.other.method == method and x.other.sparsity
        ]
        if versus:
            gaps = [x.difference for x in versus]
            line = _series(
                found,
                [x.other for x in versus],
                [x.point.sparsity for x in versus],
            )
            series.append(
                replace(
                    line,
                    y=[more(x.relative) for x in gaps],
                    low=[more(x.relative_high) for x in gaps],
                    high=[more(x.relative_low) for x in gaps],
                )
            )
    if series:
        name, index = found.reference, found.index(found.reference)
        series.append(Series(name, [], [0.0], [0.0], [0.0], index, True))
    return series


def _steps(found: Findings) -> Section:
    """Error rates against the steps of all runs, a chart per sparsity."""
    charts = []
    for sparsity in found.sparsities:
        series = []
        for point in [*found.at(sparsity), *found.at(0.0)]:
            steps = found.steps_of(point)
            if steps is not None:
                # Nothing beyond the start: no place on a logarithmic axis.
                series.append(_series(found, [point], [steps] if steps else []))
        title = f"{percent(sparsity)} of the weights removed"
        draw = partial(steps_figure, series, title, _UNIT)
        words = f"Error rate against steps, {title}"
        charts.append(Chart(words, draw, True))
    caption = (
        "Left and low is better. The steps are those of all runs that a method "
        "takes beyond the dense start, of pruning runs for masks as well. A "
        "dashed line is a model without further steps."
    )
    if found.mixed:
        caption = (
            "Left and low is better. The steps are those of all runs that a "
            "method takes: of the dense start, where it has one, and of "
            "pruning runs for masks as well."
        )
    return Section("Errors against training steps", caption, tuple(charts))


def _gaps(found: Findings) -> Section:
    """Paired differences to the reference."""
    charts = []
    for sparsity in found.sparsities:
        gaps = [
            Gap(
                x.other.method,
                x.difference.mean,
                x.difference.low,
                x.difference.high,
                found.index(x.other.method),
            )
            for x in found.versus
            if x.point.sparsity == sparsity
        ]
        title = f"{found.reference} minus others at {percent(sparsity)}"
        words = f"{title}, points of CER: " + ", ".join(
            f"{x.label} {x.mean:+.2f}" for x in gaps
        )
        draw = partial(gaps_figure, gaps, title, "difference of CER (points)")
        if gaps:
            charts.append(Chart(words, draw, True))
    caption = (
        f"Left of the dotted line {found.reference} makes fewer errors. Same "
        "seeds, same start, same test utterances: where an interval leaves out "
        "0, the difference is larger than seeds and utterances explain at the "
        f"level of {percent(found.confidence)}."
    )
    return Section("Differences", caption, tuple(charts))


def _overlaps(found: Findings) -> Section:
    """Overlap matrices and trees of the methods whose masks differ."""
    charts = []
    sparsity = found.main_sparsity
    for point in found.at(sparsity):
        runs = found.of_runs(found.kept.overlap, point)
        if not runs:
            continue
        names, matrix = mean_overlap(runs)
        if not differs(matrix):
            continue
        title = f"{point.method}, {percent(sparsity)}"
        words = f"Overlap of the pathways of {title}, as matrix and tree"
        draw = partial(kinship_figure, names, matrix, title)
        charts.append(Chart(words, draw))
    caption = (
        "Matrix: of the weights that at least one of two languages uses, the "
        "share that both use, mean over seeds. Tree: languages that share most "
        "are joined first, at their overlap. "
    ) + " ".join(kinship(found))
    title = "How much the languages share"
    return Section(title, caption.rstrip(), tuple(charts))


def _densities(found: Findings) -> Section:
    """Density per layer."""
    sparsity = found.main_sparsity
    columns = densities(found, sparsity)
    title = f"Percent kept at {percent(sparsity)} sparsity"
    charts = []
    if columns:
        draw = partial(density_figure, columns, title)
        charts.append(Chart(f"{title}, per method and layer", draw))
    caption = (
        "Which layers a method prunes more than others; mean over seeds and "
        "pathways."
    )
    return Section("Density per layer", caption, tuple(charts))


def _series(
    found: Findings, points: Sequence[Point], x: Sequence[float]
) -> Series:
    """The curve of a method."""
    method = points[0].method
    return Series(
        method,
        x,
        [p.mean for p in points],
        [p.low for p in points],
        [p.high for p in points],
        found.index(method),
        method == found.reference,
        method == found.reference or len(found.curves) <= MANY,
    )
