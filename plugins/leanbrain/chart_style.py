"""How the charts of LeanBrain look, and how they become files.

Colours follow Okabe and Ito, whose set colour-blind people can tell apart;
they are darkened on white and lightened on black for contrast.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "DARK",
    "LIGHT",
    "Theme",
    "dress",
    "label_ends",
    "new_figure",
    "recolour",
    "spread",
    "to_png",
    "to_svg",
]


@dataclass(frozen=True)
class Theme:
    """Colours of a chart.

    Arguments
    ---------
    paper, ink, faint : str
        Colours of the background, of text, and of grid lines.
    palette : tuple
        Colours of the series, in order.
    """

    paper: str
    ink: str
    faint: str
    palette: tuple[str, ...]

    def colour(self, index: int) -> str:
        """Returns a colour of the palette; after the last comes the first."""
        return self.palette[index % len(self.palette)]


LIGHT = Theme(
    paper="#ffffff",
    ink="#24292f",
    faint="#d8dee4",
    palette=("#0072b2", "#d55e00", "#007a57", "#b5548c", "#3b3b3b", "#3d9bd1"),
)
DARK = Theme(
    paper="#161b22",
    ink="#e6edf3",
    faint="#3a424c",
    palette=("#56b4e9", "#f0803c", "#2cc295", "#e09cc3", "#dfe5ea", "#f0e442"),
)


def new_figure(width: float, height: float, theme: Theme = LIGHT) -> Figure:
    """Makes an empty figure; pyplot knows nothing of it.

    Arguments
    ---------
    width, height : float
        Size in inches.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        The figure; its layout keeps labels inside.
    """
    return Figure((width, height), layout="constrained", facecolor=theme.paper)


def dress(axes: Axes, title: str, theme: Theme = LIGHT) -> None:
    """Gives axes their title and colours, without a box around them."""
    axes.set_facecolor(theme.paper)
    axes.set_title(title, loc="left", fontsize=11, color=theme.ink)
    axes.tick_params(colors=theme.ink, labelsize=9, length=3)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.ink, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.faint)
    axes.set_axisbelow(True)


def label_ends(
    axes: Axes,
    ends: Sequence[tuple[str, float, str]],
    fontsize: float = 9,
) -> None:
    """Writes the names of curves at the right edge, level with their ends.

    Arguments
    ---------
    axes : Axes
        Has its final limits of y; they may begin anywhere and be inverted.
    ends : Sequence
        Name, last y, colour of each curve. Names that would overlap are moved
        apart; curves that end outside the axes are labelled at the edge.
    fontsize : float
        In points.
    """
    low, high = axes.get_ylim()
    shares = [(y - low) / (high - low) for _, y, _ in ends]
    places = spread([min(max(x, 0.0), 1.0) for x in shares], 0.075, 1.0)
    for (label, _, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            label,
            (1.015, place),
            xycoords="axes fraction",
            annotation_clip=False,
            va="center",
            fontsize=fontsize,
            color=colour,
        )


def spread(values: Sequence[float], gap: float, high: float) -> list[float]:
    """Moves positions apart that are too close to be labelled.

    Arguments
    ---------
    values : Sequence[float]
        Positions.
    gap : float
        Smallest distance that is wanted.
    high : float
        Positions end in [0, high]; above it only where there is no room.

    Returns
    -------
    list
        New positions in the order of `values`, moved as little as possible
        (least squares).

    Example
    -------
    >>> spread([0.5, 0.9, 0.5], 0.125, 1.0)
    [0.4375, 0.9, 0.5625]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    # With k gaps taken from the k-th position it only must not decrease:
    # isotonic regression, by pooling neighbours that do.
    pools: list[list[float]] = []
    for k, i in enumerate(order):
        pools.append([values[i] - k * gap])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [_mean(pool) for pool in pools for _ in pool]
    room = max(high - (len(values) - 1) * gap, 0.0)
    result = [0.0] * len(values)
    for k, i in enumerate(order):
        result[i] = min(max(level[k], 0.0), room) + k * gap
    return result


def _mean(values: Sequence[float]) -> float:
    """Mean of at least one number."""
    return sum(values) / len(values)


def recolour(svg: str, old: Theme, new: Theme) -> str:
    """Puts the colours of one theme in the place of another's.

    Arguments
    ---------
    svg : str
        A picture as `to_svg` returns it, of which all colours are those of
        the theme `old`.
    old, new : Theme
        The themes.

    Returns
    -------
    str
        The picture as if it had been drawn with the theme `new`, in a small
        part of the time.
    """
    pairs = zip(
        (old.paper, old.ink, old.faint, *old.palette),
        (new.paper, new.ink, new.faint, *new.palette),
        strict=True,
    )
    colours = dict(pairs)
    return re.sub(
        r"#[0-9a-f]{6}\b", lambda x: colours.get(x.group(), x.group()), svg
    )


def to_png(figure: Figure, dpi: int = 200) -> bytes:
    """Renders a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> str:
    """Renders a figure as SVG, the same text each time.

    Returns
    -------
    str
        The element, without XML prologue and without links to the network
        beyond the names of XML's own vocabularies.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "leanbrain", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    # The metadata hold the date.
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)[
        text.index("<svg") :
    ]
