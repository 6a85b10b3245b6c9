"""The small charts of a comparison: differences, trees, densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from leanbrain.chart_style import LIGHT, Theme, dress, new_figure
from leanbrain.pruning.comparison.clustering import Tree, grow_tree
from leanbrain.pruning.monitor.charts import draw_overlap

__all__ = [
    "Gap",
    "cut",
    "density_figure",
    "gaps_figure",
    "kinship_figure",
    "plain",
]

_STEPS = [1, 2, 2.5, 5, 10]  # distances between ticks that are easily read


@dataclass(frozen=True)
class Gap:
    """A difference with its interval.

    Arguments
    ---------
    label : str
        Written at its foot.
    mean, low, high : float
        The difference.
    index : int
        Number of the method.
    """

    label: str
    mean: float
    low: float
    high: float
    index: int = 0


def gaps_figure(
    gaps: Sequence[Gap], title: str, unit: str, theme: Theme = LIGHT
) -> Figure:
    """Draws differences with their intervals around a line at 0.

    Arguments
    ---------
    gaps : Sequence[Gap]
        One line each, in the order given.
    title, unit : str
        What is shown, label of the x axis.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart.

    Example
    -------
    >>> axes = gaps_figure([Gap("a", -1, -2, 0.5)], "at 80 %", "points").axes[0]
    >>> [x.get_text() for x in axes.get_yticklabels()]
    ['a']
    """
    figure = new_figure(4.8, 1.0 + 0.26 * max(len(gaps), 2), theme)
    axes = figure.add_subplot()
    dress(axes, plain(title), theme)
    axes.axvline(0.0, color=theme.ink, linewidth=0.9, linestyle=":")
    for y, gap in enumerate(gaps):
        colour = theme.colour(gap.index)
        axes.plot([gap.low, gap.high], [y, y], color=colour, linewidth=1.6)
        axes.plot([gap.mean], [y], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(gaps)), [plain(cut(x.label)) for x in gaps])
    axes.set_ylim(len(gaps) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    axes.grid(axis="x", color=theme.faint, linewidth=0.8)
    axes.set_xlabel(unit, color=theme.ink, fontsize=9)
    return figure


def kinship_figure(
    names: Sequence[str],
    matrix: np.ndarray,
    title: str,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws how much pathways overlap: a matrix, and a tree below it.

    Arguments
    ---------
    names : Sequence[str]
        At least two pathways.
    matrix : np.ndarray
        Their overlaps, symmetric; shape [L, L].
    title : str
        What is shown.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The chart. Both parts have the order of the tree's leaves, and two
        branches meet at the overlap of what they join.

    Example
    -------
    >>> matrix = np.array([[1, 0.2, 0.8], [0.2, 1, 0.4], [0.8, 0.4, 1]])
    >>> figure = kinship_figure(["ru", "en", "uk"], matrix, "masks")
    >>> sorted(x.get_text() for x in figure.axes[1].get_yticklabels())
    ['en', 'ru', 'uk']
    """
    tree = grow_tree(names, matrix)
    order = [list(names).index(x) for x in tree.leaves]
    side = max(2.6, 0.62 * len(names))
    below = 0.9 + 0.3 * len(names)
    figure = new_figure(side + 1.9, side + below + 0.6, theme)
    upper, lower = figure.subplots(2, height_ratios=[side + 0.3, below])
    cells = np.asarray(matrix)[np.ix_(order, order)]
    leaves = [plain(x) for x in tree.leaves]
    draw_overlap(upper, cells.tolist(), leaves, plain(title), theme)
    _draw_tree(lower, tree, theme)
    return figure


def _draw_tree(axes: Axes, tree: Tree, theme: Theme) -> None:
    """Draws a tree that lies on its side, its root at the right."""
    dress(axes, "", theme)
    for places, distances in tree.branches:
        overlaps = [1.0 - x for x in distances]
        axes.plot(overlaps, places, color=theme.colour(0), linewidth=1.6)
    lowest = min(1.0 - max(y) for _, y in tree.branches)
    axes.set_xlim(1.0, lowest - 0.06 * (1.0 - lowest) - 1e-3)
    count = len(tree.leaves)
    axes.set_yticks(range(count), [plain(x) for x in tree.leaves])
    axes.set_ylim(count - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.set_xlabel("joined at a mean overlap of", color=theme.ink, fontsize=9)


def density_figure(
    columns: Mapping[str, Mapping[str, float]],
    title: str,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws which share of every layer is kept, with the numbers.

    Arguments
    ---------
    columns : Mapping
        Method -> target -> share kept; the same targets in all.
    title : str
        What is shown.
    theme : Theme
        The colours of everything but the cells.

    Returns
    -------
    Figure
        The chart; its colours span 0 to 100 %.

    Example
    -------
    >>> figure = density_figure({"a": {"w": 0.25}}, "kept")
    >>> [x.get_text() for x in figure.axes[0].texts]
    ['25']
    """
    targets = list(dict.fromkeys(k for x in columns.values() for k in x))
    longest = max((len(_tail(x)) for x in targets), default=0)
    width = max(4.8, 0.8 + 0.065 * longest + 0.42 * len(columns))
    figure = new_figure(width, 1.6 + 0.21 * len(targets), theme)
    axes = figure.add_subplot()
    dress(axes, plain(title), theme)
    rows = [
        [100 * x.get(k, float("nan")) for x in columns.values()]
        for k in targets
    ]
    axes.imshow(rows, vmin=0.0, vmax=100.0, cmap="viridis", aspect="auto")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            colour = "#ffffff" if value < 60 else "#000000"
            if value == value:
                axes.text(j, i, f"{value:.0f}", color=colour, **_CELL)
    names = [plain(cut(x)) for x in columns]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(targets)), [plain(_tail(x)) for x in targets])
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return figure


_CELL: Any = {"ha": "center", "va": "center", "fontsize": 7}


def cut(label: str) -> str:
    """Shortens a name that would push the chart out of its frame."""
    return label if len(label) <= 22 else f"{label[:21]}…"


def plain(text: str) -> str:
    """Keeps matplotlib from reading a text as a formula."""
    return text.replace("$", r"\$")


def _tail(target: str) -> str:
    """Shortens the name of a parameter; its end says more."""
    return target if len(target) <= 36 else f"…{target[-35:]}"
