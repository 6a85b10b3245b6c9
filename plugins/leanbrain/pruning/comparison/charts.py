"""Charts of a comparison of pruning methods, without global state.

Every curve and point carries its name; a thin line leads to it where the name
had to move. Axes of errors do not begin at zero: the methods differ by little,
and the captions say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from leanbrain.chart_style import LIGHT, Theme, dress, new_figure, spread
from leanbrain.pruning.comparison.panels import cut, plain

__all__ = [
    "Series",
    "errors_figure",
    "steps_figure",
]

_STEPS = [1, 2, 2.5, 5, 10]  # distances between ticks that are easily read
_DASHES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_LINE = 0.18  # inches that a name takes
_RATIO = 3.0  # errors further apart than this need a logarithmic axis


@dataclass(frozen=True)
class Series:
    """One method.

    Arguments
    ---------
    label : str
        Written at the right edge.
    x, y : Sequence[float]
        Points. No `x` and one `y`: a horizontal line, for what has no
        sparsity.
    low, high : Sequence[float]
        The interval around each `y`.
    index : int
        Number of the method: its colour, its dashes.
    strong : bool
        Whether it is drawn thicker than the others.
    band : bool
        Whether a curve has its interval drawn around it.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    index: int = 0
    strong: bool = False
    band: bool = True


def errors_figure(
    series: Sequence[Series],
    title: str,
    unit: str,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws errors against sparsity, with bands.

    Arguments
    ---------
    series : Sequence[Series]
        The methods; `x` is the share of weights removed.
    title, unit : str
        What is shown, label of the y axis.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart.

    Example
    -------
    >>> one = Series("a", [0.5, 0.9], [10, 12], [9, 11], [11, 13])
    >>> axes = errors_figure([one], "CER", "CER (%)").axes[0]
    >>> [x.get_text() for x in axes.texts]
    ['a']
    """
    figure, axes = _axes(len(series), title, theme, 6.0)
    known = sorted({x for line in series for x in line.x})
    # Even factors of what is kept: 90 and 95 % are not squeezed together.
    series = [
        replace(line, x=[-math.log(1.0 - x) for x in line.x]) for line in series
    ]
    ticks = [-math.log(1.0 - x) for x in known] or [0.0]
    pad = 0.04 * (ticks[-1] - ticks[0]) if len(ticks) > 1 else 0.05
    axes.set_xlim(ticks[0] - pad, ticks[-1] + pad)
    alone = [line for line in series if len(line.x) == 1]
    for line in series:
        _draw(axes, line, theme, pad * _beside(line, alone))
    axes.set_xticks(
        ticks[: len(known)], [f"{round(100 * x, 6):g} %" for x in known]
    )
    axes.set_xlabel("weights removed (even factors of what is kept)")
    _finish(axes, series, unit, theme)
    return figure


def steps_figure(
    series: Sequence[Series],
    title: str,
    unit: str,
    x_unit: str = "optimizer steps of all runs (log scale)",
    theme: Theme = LIGHT,
) -> Figure:
    """Draws errors against what they cost, one point a method.

    Arguments
    ---------
    series : Sequence[Series]
        The methods; `x` is the cost, above 0.
    title, unit, x_unit : str
        What is shown, labels of the axes.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart; its x axis is logarithmic.

    Example
    -------
    >>> one = Series("a", [1260], [10], [9], [11])
    >>> steps_figure([one], "CER", "CER (%)").axes[0].get_xscale()
    'log'
    """
    figure, axes = _axes(len(series), title, theme, 4.8)
    costs = [x for line in series for x in line.x]
    axes.set_xscale("log")
    if costs:
        axes.set_xlim(min(costs) / 1.25, max(costs) * 1.25)
    for line in series:
        same = [x for x in series if list(x.x) == list(line.x)]
        shift = line.x[0] * 0.06 * _beside(line, same) if len(line.x) else 0.0
        _draw(axes, line, theme, shift)
    wide = bool(costs) and max(costs) > 30 * min(costs)
    parts = (1.0,) if wide else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=parts))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(x_unit)
    _finish(axes, series, unit, theme)
    return figure


def _height(count: int) -> float:
    """Inches of a chart in which so many names have room."""
    return max(3.6, 1.1 + _LINE * count)


def _axes(
    count: int, title: str, theme: Theme, width: float
) -> tuple[Figure, Axes]:
    """Makes axes that are high enough for the names at their side."""
    figure = new_figure(width, _height(count), theme)
    axes = figure.add_subplot()
    dress(axes, plain(title), theme)
    return figure, axes


def _beside(line: Series, same: Sequence[Series]) -> float:
    """Where a point stands among those of equal x: in [-1, 1], 0 if alone.

    Side by side their intervals can be told apart.
    """
    if line not in same or len(same) < 2:
        return 0.0
    return 2.0 * same.index(line) / (len(same) - 1) - 1.0


def _draw(axes: Axes, line: Series, theme: Theme, shift: float = 0.0) -> None:
    """Draws one method: a level, a point or a curve with its band."""
    turn = line.index // len(theme.palette) % len(_DASHES)
    colour = theme.colour(line.index)
    width = 2.6 if line.strong else 1.5
    if not len(line.x):
        axes.axhline(line.y[0], color=colour, linewidth=1.2, linestyle="--")
        return
    x = [value + shift for value in line.x]
    axes.plot(
        x,
        line.y,
        color=colour,
        linestyle=_DASHES[turn],
        linewidth=width,
        marker=_MARKERS[turn],
        markersize=6 if line.strong else 4.5,
        zorder=3 if line.strong else 2,
    )
    if len(x) > 1 and line.band:
        axes.fill_between(
            x, line.low, line.high, color=colour, alpha=0.12, linewidth=0
        )
    elif len(x) == 1:
        axes.plot(x * 2, [line.low[0], line.high[0]], color=colour, lw=0.9)


def _finish(
    axes: Axes, series: Sequence[Series], unit: str, theme: Theme
) -> None:
    """Sets the axis of errors and writes the names."""
    drawn = [y for x in series for y in (*x.low, *x.y, *x.high) if y == y]
    low, high = min(drawn, default=0.0), max(drawn, default=1.0)
    if low > 0.0 and high > _RATIO * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.08, high * 1.08)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        unit = f"{unit}, log scale"
    else:
        pad = 0.05 * (high - low) or 1.0
        axes.set_ylim(
            low - pad if low < 0.0 else max(low - pad, 0.0), high + pad
        )
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    axes.set_ylabel(unit)
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.ink, fontsize=9)
    _name(axes, series, theme)


def _name(axes: Axes, series: Sequence[Series], theme: Theme) -> None:
    """Writes the names at the right edge, with lines that lead to them."""
    to_share = axes.transScale + axes.transLimits
    edge = axes.get_xlim()[1]
    ends = [(x.x[-1] if len(x.x) else edge, x.y[-1]) for x in series]
    heights = [float(to_share.transform(end)[1]) for end in ends]
    gap = _LINE / (_height(len(series)) - 0.9)
    places = spread(heights, gap, 1.0)
    for line, end, place in zip(series, ends, places, strict=True):
        colour = theme.colour(line.index)
        axes.annotate(
            plain(cut(line.label)),
            end,
            (1.04, place),
            textcoords="axes fraction",
            annotation_clip=False,
            va="center",
            fontsize=8,
            fontweight="bold" if line.strong else "normal",
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "linestyle": (0, (1, 3)),
                "relpos": (0.0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )
