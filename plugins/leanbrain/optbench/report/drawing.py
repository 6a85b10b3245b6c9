"""The kinds of charts of a report: curves and bars with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leanbrain.chart_style import LIGHT, Theme, dress, label_ends, new_figure

__all__ = ["Bar", "Curve", "bars_figure", "curves_figure", "ranks_figure"]

_STEPS = [1, 2, 2.5, 5, 10]  # distances between ticks that are easily read


@dataclass(frozen=True)
class Curve:
    """One curve.

    Arguments
    ---------
    label : str
        Written beside its end; "" for none.
    x, y : Sequence[float]
        Points.
    index : int
        Number of the optimizer: its colour, and whether it is dashed.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    index: int = 0


@dataclass(frozen=True)
class Bar:
    """One bar.

    Arguments
    ---------
    label : str
        Written at its foot.
    value : float
        Its length; inf: there is none, `note` says why.
    low, high : float
        The interval around it; NaN for none, inf for one that has no end.
    note : str
        Written after the number.
    index : int
        Number of the optimizer.
    """

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    index: int = 0


def curves_figure(
    curves: Sequence[Curve],
    title: str,
    x_unit: str,
    y_unit: str,
    *,
    x_low: float = 0.0,
    top: float | None = None,
    level: tuple[str, float] | None = None,
    stairs: bool = False,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws curves, each with its name at its end.

    Arguments
    ---------
    curves : Sequence[Curve]
        What is drawn.
    title, x_unit, y_unit : str
        What is shown, labels of the axes with their units.
    x_low : float
        Where the x axis begins; the y axis begins at 0.
    top : float | None
        Where the y axis ends; None fits the curves.
    level : tuple | None
        Name and height of a horizontal line.
    stairs : bool
        Whether a value holds until the next point.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart.
    """
    figure = new_figure(4.8, 3.3, theme)
    axes = figure.add_subplot()
    dress(axes, _plain(title), theme)
    for curve in curves:
        axes.plot(
            curve.x,
            curve.y,
            color=theme.colour(curve.index),
            linestyle=_dashes(curve.index, theme),
            drawstyle="steps-post" if stairs else "default",
            linewidth=1.7,
        )
    last = max((max(x.x) for x in curves if len(x.x)), default=x_low)
    axes.set_xlim(x_low, last if last > x_low else x_low + 1.0)
    highest = max((y for x in curves for y in x.y), default=1.0)
    highest = max(highest, level[1] if level else 0.0)
    axes.set_ylim(0.0, top or 1.05 * highest or 1.0)
    if level:
        axes.axhline(level[1], color=theme.ink, linewidth=0.9, linestyle=":")
        axes.annotate(
            level[0],
            (0.0, level[1]),
            (3, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
            color=theme.ink,
        )
    axes.set_xlabel(x_unit)
    axes.set_ylabel(y_unit)
    _finish(axes, theme)
    _name_ends(axes, curves, theme)
    return figure


def ranks_figure(
    curves: Sequence[Curve],
    title: str,
    x_unit: str,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws ranks, the first on top; the x values are evenly spaced.

    Arguments
    ---------
    curves : Sequence[Curve]
        x: what the ranks depend on, the same for all; y: ranks from 1.
    title, x_unit : str
        What is shown.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart.
    """
    figure = new_figure(4.8, 3.3, theme)
    axes = figure.add_subplot()
    dress(axes, _plain(title), theme)
    for curve in curves:
        axes.plot(
            range(len(curve.x)),
            curve.y,
            color=theme.colour(curve.index),
            linestyle=_dashes(curve.index, theme),
            linewidth=1.7,
            marker="o",
            markersize=4,
            clip_on=False,
        )
    ticks = curves[0].x if curves else []
    axes.set_xticks(range(len(ticks)), [f"{x:g}" for x in ticks])
    lowest = max((y for x in curves for y in x.y), default=1.0)
    axes.set_ylim(lowest + 0.3, 0.7)
    axes.set_xlabel(x_unit)
    axes.set_ylabel("rank")
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    _recolour(axes, theme)
    _name_ends(axes, curves, theme)
    return figure


def bars_figure(
    bars: Sequence[Bar],
    title: str,
    unit: str,
    *,
    line: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws horizontal bars with intervals, in the order given.

    Arguments
    ---------
    bars : Sequence[Bar]
        What is drawn.
    title, unit : str
        What is shown, label of the axis with its unit.
    line : float | None
        Where a vertical line is drawn, such as at 1 for ratios.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart; its axis begins at 0.
    """
    figure = new_figure(4.8, 1.0 + 0.3 * max(len(bars), 2), theme)
    axes = figure.add_subplot()
    dress(axes, _plain(title), theme)
    ends = [x for bar in bars for x in (bar.value, bar.high)]
    top = max((x for x in ends if math.isfinite(x)), default=1.0) or 1.0
    for y, bar in enumerate(bars):
        value = bar.value if math.isfinite(bar.value) else 0.0
        # Paler than curves: the interval is drawn across it.
        colour = theme.colour(bar.index)
        axes.barh(y, value, height=0.7, color=colour, alpha=0.7)
        _whisker(axes, y, bar, top, theme)
        end = max(value, min(bar.high, 1.06 * top) if bar.high > 0 else 0.0)
        axes.annotate(
            _plain(bar.note),
            (end, y),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=theme.ink,
        )
    axes.set_yticks(range(len(bars)), [_plain(_cut(x.label)) for x in bars])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.35 * top)
    if line is not None:
        axes.axvline(line, color=theme.ink, linewidth=0.9, linestyle=":")
    # No ticks beyond the longest bar, where only its number stands.
    ticks = MaxNLocator(5, steps=_STEPS).tick_values(0.0, top)
    axes.set_xticks([x for x in ticks if 0.0 <= x <= 1.01 * top])
    axes.set_xlabel(unit)
    _recolour(axes, theme)
    return figure


def _whisker(axes: Axes, y: int, bar: Bar, top: float, theme: Theme) -> None:
    """Draws the interval; an arrow where it has no end."""
    if math.isnan(bar.low) or math.isnan(bar.high):
        return
    if math.isinf(bar.low):
        return
    end = bar.high if math.isfinite(bar.high) else 1.06 * top
    axes.plot([bar.low, end], [y, y], color=theme.ink, linewidth=1.2)
    axes.plot([bar.low], [y], "|", color=theme.ink, markersize=6)
    marker = "|" if math.isfinite(bar.high) else ">"
    size = 6 if math.isfinite(bar.high) else 4
    axes.plot([end], [y], marker, color=theme.ink, markersize=size)


def _finish(axes: Axes, theme: Theme) -> None:
    """Sets ticks and grid of axes with curves."""
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    _recolour(axes, theme)


def _recolour(axes: Axes, theme: Theme) -> None:
    """Colours what was set after `dress`."""
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.ink, fontsize=9)


def _name_ends(axes: Axes, curves: Sequence[Curve], theme: Theme) -> None:
    """Names the curves beside their ends."""
    named = [x for x in curves if x.label and len(x.y)]
    ends = [
        (_plain(_cut(x.label)), x.y[-1], theme.colour(x.index)) for x in named
    ]
    label_ends(axes, ends, fontsize=8)


def _dashes(index: int, theme: Theme) -> str:
    """After the last colour the first returns, dashed, then dotted."""
    return ("-", "--", ":", "-.")[index // len(theme.palette) % 4]


def _cut(label: str) -> str:
    """Shortens a name that would push the chart out of its frame."""
    return label if len(label) <= 18 else f"{label[:17]}…"


def _plain(text: str) -> str:
    """Keeps matplotlib from reading a text as a formula."""
    return text.replace("$", r"\$")
