"""Charts: what they say must be the numbers they were given."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb

from leanbrain.chart_style import DARK, LIGHT, spread, to_png, to_svg
from leanbrain.pruning.monitor.charts import (
    Line,
    bars_figure,
    curves_figure,
    overlap_figure,
)

NAMES = ["en", "fr", "it"]
MATRIX = [[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0]]


def texts(axes):
    return [x.get_text() for x in axes.texts]


def test_overlap_shows_every_number_where_it_belongs():
    axes = overlap_figure(MATRIX, NAMES, "step 5").axes[0]
    shown = {x.get_position(): x.get_text() for x in axes.texts}
    assert shown == {
        (j, i): f"{MATRIX[i][j]:.2f}" for i in range(3) for j in range(3)
    }
    for axis in (axes.xaxis, axes.yaxis):
        assert [x.get_text() for x in axis.get_ticklabels()] == NAMES
    assert axes.get_title("left") == "step 5"


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_overlap_scale_is_always_0_to_1(value):
    figure = overlap_figure([[value]], ["en"])
    assert figure.axes[0].images[0].get_clim() == (0.0, 1.0)
    assert "intersection / union" in figure.axes[1].get_ylabel()


@pytest.mark.parametrize("value", [x / 10 for x in range(11)])
def test_overlap_numbers_stand_out_from_their_cells(value):
    axes = overlap_figure([[value]], ["en"]).axes[0]
    image = axes.images[0]
    cell = image.cmap(image.norm(value))[:3]
    assert contrast(cell, to_rgb(axes.texts[0].get_color())) >= 3.0


_WEIGHTS = (0.2126, 0.7152, 0.0722)


def luminance(colour):
    linear = [
        x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4
        for x in colour
    ]
    return sum(a * b for a, b in zip(_WEIGHTS, linear, strict=True))


def contrast(one, other):
    """Contrast ratio of the Web Content Accessibility Guidelines 2.1."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_the_paper(theme):
    paper = to_rgb(theme.paper)
    assert contrast(paper, to_rgb(theme.ink)) >= 7.0
    for colour in theme.palette:
        assert contrast(paper, to_rgb(colour)) >= 3.0
    assert len(set(theme.palette)) == len(theme.palette)


def test_palette_begins_again_after_the_last_colour():
    assert LIGHT.colour(len(LIGHT.palette)) == LIGHT.palette[0]


def test_curves_are_the_points_with_labels_and_units():
    lines = [
        Line("en", [0, 50, 100], [90.0, 40.0, 20.0], 0),
        Line("fr", [0, 100], [80.0, 30.0], 1, dashed=True),
        Line("", [0, 100], [10.0, 5.0], 2, stairs=True),
    ]
    axes = curves_figure(lines, "A title", "CER (%)", theme=DARK).axes[0]
    for line, drawn in zip(lines, axes.lines, strict=True):
        assert list(drawn.get_xdata()) == line.x
        assert list(drawn.get_ydata()) == line.y
        assert to_hex(drawn.get_color()) == DARK.palette[line.colour]
        assert (drawn.get_linestyle() == "--") == line.dashed
        assert (drawn.get_drawstyle() == "steps-post") == line.stairs
    assert texts(axes) == ["en", "fr"]
    assert [to_hex(x.get_color()) for x in axes.texts] == [*DARK.palette[:2]]
    assert axes.get_title("left") == "A title"
    assert axes.get_ylabel() == "CER (%)"
    assert axes.get_xlabel() == "optimizer step"


@pytest.mark.parametrize(
    ("values", "top", "wanted"),
    [
        ([50.0, 20.0], None, 52.5),
        ([50.0, 20.0], 100.0, 100.0),
        ([0.0, 0.0], None, 1.0),
        ([float("nan"), 2.0], None, 2.1),
        ([], None, 1.05),
    ],
)
def test_axes_begin_at_zero(values, top, wanted):
    line = Line("en", [200, 400][: len(values)], values)
    axes = curves_figure([line], "", "CER (%)", top).axes[0]
    assert axes.get_ylim() == pytest.approx((0.0, wanted))
    assert axes.get_xlim() == (0.0, 400.0 if values else 1.0)


def test_single_point_is_visible():
    axes = curves_figure([Line("en", [5], [1.0])], "", "loss").axes[0]
    assert axes.lines[0].get_marker() == "o"


def test_bars_have_the_length_of_their_numbers():
    values = {"dense": {"en": 10.0, "fr": 20.0}, "fixed": {"fr": 25.0}}
    axes = bars_figure(values, "CER", "CER (%)").axes[0]
    assert [x.get_width() for x in axes.patches] == [10.0, 20.0, 25.0]
    assert [x.get_x() for x in axes.patches] == [0.0] * 3
    assert texts(axes) == ["10.0  dense", "20.0", "25.0"]
    ticks = [x.get_text() for x in axes.get_yticklabels()]
    assert ticks == ["en", "fr"]
    # Top down: en of dense, then fr of both, each near its name.
    middles = [x.get_y() + x.get_height() / 2 for x in axes.patches]
    names = axes.get_yticks()
    assert [int(abs(y - names[0]) > abs(y - names[1])) for y in middles] == [
        0,
        1,
        1,
    ]
    assert middles[1] < middles[2] and axes.yaxis_inverted()
    assert axes.get_xlim()[0] == 0.0 and axes.get_xlim()[1] > 25.0
    colours = [to_hex(x.get_facecolor()) for x in axes.patches]
    assert colours == [LIGHT.palette[i] for i in (0, 0, 1)]


def test_bars_do_not_overlap():
    values = {m: dict.fromkeys(NAMES, 5.0) for m in ("a", "b", "c")}
    axes = bars_figure(values, "", "").axes[0]
    spans = sorted(
        (x.get_y(), x.get_y() + x.get_height()) for x in axes.patches
    )
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8),
    st.floats(0.01, 0.12),
)
def test_spread_labels_keep_distance_order_and_frame(values, gap):
    places = spread(values, gap, 1.0)
    order = sorted(range(len(values)), key=lambda i: values[i])
    ordered = [places[i] for i in order]
    steps = [b - a for a, b in pairwise(ordered)]
    assert all(step >= gap - 1e-9 for step in steps)
    assert -1e-9 <= ordered[0] and ordered[-1] <= 1.0 + 1e-9


def test_spread_moves_no_more_than_needed():
    assert spread([0.1, 0.5, 0.3], 0.1, 1.0) == pytest.approx([0.1, 0.5, 0.3])
    assert spread([0.5, 0.5], 0.1, 1.0) == pytest.approx([0.45, 0.55])
    assert spread([1.0, 1.0], 0.1, 1.0) == pytest.approx([0.9, 1.0])
    assert spread([0.0, 0.0], 0.1, 1.0) == pytest.approx([0.0, 0.1])
    # No room: begins at 0 and goes over the end.
    assert spread([0.5] * 3, 0.6, 1.0) == pytest.approx([0.0, 0.6, 1.2])
    assert spread([], 0.1, 1.0) == []


def test_files_are_what_they_say_and_repeat():
    svg, again = (to_svg(overlap_figure(MATRIX, NAMES)) for _ in range(2))
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert svg == again
    png, again = (to_png(overlap_figure(MATRIX, NAMES), 50) for _ in range(2))
    assert png.startswith(b"\x89PNG")
    assert png == again
    assert "metadata" not in svg and 'href="http' not in svg


def test_pyplot_stays_out():
    code = (
        "import sys\n"
        "from leanbrain.pruning.monitor.charts import overlap_figure\n"
        "from leanbrain.chart_style import to_png\n"
        "to_png(overlap_figure([[1.0]], ['en']))\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
