"""Charts of pruning runs, as matplotlib Figures without global state.

Lines and bars carry their names themselves, and axes of error rates begin at
zero: differences look as large as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leanbrain.chart_style import (
    LIGHT,
    Theme,
    dress,
    label_ends,
    new_figure,
)

__all__ = [
    "Line",
    "bars_figure",
    "curves_figure",
    "draw_bars",
    "draw_curves",
    "draw_overlap",
    "overlap_figure",
]

_STEPS = [1, 2, 2.5, 5, 10]  # distances between ticks that are easily read


@dataclass(frozen=True)
class Line:
    """One curve.

    Arguments
    ---------
    label : str
        Written beside the end of the curve.
    x, y : Sequence[float]
        Points; the x axis is the optimizer step.
    colour : int
        Index into the palette.
    dashed : bool
        Whether the line is dashed: plans and references are.
    stairs : bool
        Whether a value holds until the next point.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False
    stairs: bool = False


def curves_figure(
    lines: Sequence[Line],
    title: str,
    unit: str,
    top: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws curves over optimizer steps.

    Arguments
    ---------
    lines : Sequence[Line]
        The curves; each is labelled where it ends.
    title : str
        What is shown.
    unit : str
        Label of the y axis, with the unit.
    top : float | None
        Upper end of the y axis, which begins at 0; None fits the curves.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart; `to_png` and `to_svg` render it.

    Example
    -------
    >>> line = Line("en", [0, 100], [90.0, 12.5])
    >>> axes = curves_figure([line], "CER", "CER (%)").axes[0]
    >>> axes.get_ylabel(), float(axes.get_ylim()[0])
    ('CER (%)', 0.0)
    """
    figure = new_figure(4.8, 3.3, theme)
    draw_curves(figure.add_subplot(), lines, title, unit, top, theme)
    return figure


def bars_figure(
    values: Mapping[str, Mapping[str, float]],
    title: str,
    unit: str,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws models side by side, one group of bars per language.

    Arguments
    ---------
    values : Mapping
        Model -> language -> value >= 0.
    title : str
        What is shown.
    unit : str
        Label of the axis of values, with the unit.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart.
    """
    groups = len({name for x in values.values() for name in x})
    height = 1.1 + groups * (0.17 * len(values) + 0.13)
    figure = new_figure(4.8, height, theme)
    draw_bars(figure.add_subplot(), values, title, unit, theme)
    return figure


def overlap_figure(
    matrix: Sequence[Sequence[float]],
    names: Sequence[str],
    title: str = "",
    theme: Theme = LIGHT,
) -> Figure:
    """Draws how much the weights of pathways overlap, with the numbers.

    Arguments
    ---------
    matrix : Sequence
        Intersection over union, in [0, 1]; shape [L, L].
    names : Sequence[str]
        The L pathways.
    title : str
        What is shown.
    theme : Theme
        The colours of everything but the cells.

    Returns
    -------
    Figure
        The chart; its colour scale always is 0 to 1.

    Example
    -------
    >>> figure = overlap_figure([[1.0, 0.6], [0.6, 1.0]], ["en", "fr"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1.00', '0.60', '0.60', '1.00']
    """
    side = 0.62 * len(names)
    figure = new_figure(max(4.2, side + 1.6), max(3.4, side + 1.0), theme)
    draw_overlap(figure.add_subplot(), matrix, names, title, theme)
    return figure


def draw_curves(
    axes: Axes,
    lines: Sequence[Line],
    title: str,
    unit: str,
    top: float | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draws what `curves_figure` describes into existing axes."""
    dress(axes, title, theme)
    for line in lines:
        axes.plot(
            line.x,
            line.y,
            color=theme.colour(line.colour),
            linestyle="--" if line.dashed else "-",
            drawstyle="steps-post" if line.stairs else "default",
            linewidth=1.8,
            marker="o" if len(line.x) < 2 else None,
            markersize=4,
        )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(unit)
    last = max((max(x.x) for x in lines if len(x.x)), default=1.0)
    axes.set_xlim(0.0, last or 1.0)
    highest = max((y for x in lines for y in x.y if y == y), default=1.0)
    axes.set_ylim(0.0, top or 1.05 * highest or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.grid(axis="y", color=theme.faint, linewidth=0.8)
    named = [x for x in lines if x.label and len(x.x)]
    label_ends(
        axes, [(x.label, x.y[-1], theme.colour(x.colour)) for x in named]
    )


def draw_bars(
    axes: Axes,
    values: Mapping[str, Mapping[str, float]],
    title: str,
    unit: str,
    theme: Theme = LIGHT,
) -> None:
    """Draws what `bars_figure` describes into existing axes."""
    dress(axes, title, theme)
    groups = list(dict.fromkeys(k for x in values.values() for k in x))
    pitch = len(values) + 0.75
    highest = max((y for x in values.values() for y in x.values()), default=1)
    for i, (model, results) in enumerate(values.items()):
        for j, group in enumerate(groups):
            if group not in results:
                continue
            y, x = j * pitch + i, results[group]
            axes.barh(y, x, height=0.86, color=theme.colour(i))
            # The first group doubles as the legend.
            text = f"{x:.1f}  {model}" if j == 0 else f"{x:.1f}"
            axes.annotate(
                text,
                (x, y),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=theme.ink,
            )
    axes.set_yticks(
        [j * pitch + (len(values) - 1) / 2 for j in range(len(groups))], groups
    )
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.3 * highest or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.set_xlabel(unit)


def draw_overlap(
    axes: Axes,
    matrix: Sequence[Sequence[float]],
    names: Sequence[str],
    title: str = "",
    theme: Theme = LIGHT,
) -> None:
    """Draws what `overlap_figure` describes into existing axes."""
    dress(axes, title, theme)
    rows = [[float(x) for x in row] for row in matrix]
    image = axes.imshow(rows, vmin=0.0, vmax=1.0, cmap="viridis")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            colour = "#ffffff" if value < 0.6 else "#000000"
            axes.text(
                j, i, f"{value:.2f}", ha="center", va="center", color=colour
            )
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("overlap: intersection / union", color=theme.ink, fontsize=9)
    bar.ax.tick_params(colors=theme.ink, labelsize=8)
    bar.outline.set_visible(False)
