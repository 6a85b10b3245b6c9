"""Charts of a comparison: what they say must be the numbers they were given."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from leanbrain.chart_style import DARK, LIGHT
from leanbrain.pruning.comparison.charts import (
    Series,
    errors_figure,
    steps_figure,
)
from leanbrain.pruning.comparison.panels import (
    Gap,
    density_figure,
    gaps_figure,
    kinship_figure,
)

CURVE = Series("curve", [0.5, 0.9], [10, 14], [9, 12], [11, 15], 0, True)
POINT = Series("point", [0.9], [12], [11], [13], 1)
LEVEL = Series("dense", [], [8], [7], [9], 2)


def names(axes):
    return [x.get_text() for x in axes.texts]


def points(line):
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_errors_are_drawn_where_they_belong():
    figure = errors_figure([CURVE, POINT, LEVEL], "CER", "%", theme=DARK)
    axes = figure.axes[0]
    left, right = -math.log(0.5), -math.log(1.0 - 0.9)
    curve, point, whisker, level = axes.lines
    assert points(curve) == [(left, 10), (right, 14)]
    assert points(point) == [(right, 12)]
    assert points(whisker) == [(right, 11), (right, 13)]
    assert list(level.get_ydata()) == [8, 8]
    assert [x.get_text() for x in axes.get_xticklabels()] == ["50 %", "90 %"]
    assert list(axes.get_xticks()) == [left, right]
    assert names(axes) == ["curve", "point", "dense"]
    for text, index in zip(axes.texts, range(3), strict=True):
        assert to_hex(text.get_color()) == DARK.palette[index]
    band = axes.collections[0].get_paths()[0].vertices
    assert {(x, y) for x, y in band} >= {(left, 9), (right, 15), (right, 12)}


def test_a_curve_may_have_no_band():
    plain = Series("a", [0.5, 0.9], [1, 2], [0, 1], [2, 3], band=False)
    assert not errors_figure([plain], "CER", "%").axes[0].collections


def test_points_at_one_sparsity_stand_side_by_side():
    series = [Series(x, [0.8], [10], [9], [11], i) for i, x in enumerate("abc")]
    lines = errors_figure(series, "CER", "%").axes[0].lines
    places = [lines[2 * i].get_xdata()[0] for i in range(3)]
    middle = -math.log(0.2)
    assert places[0] < places[1] < places[2]
    assert places[1] == pytest.approx(middle)


@pytest.mark.parametrize("count", [2, 17, 40])
def test_names_do_not_overlap(count):
    series = [
        Series(f"m{i}", [0.5, 0.9], [5, 10], [4, 9], [6, 11], i)
        for i in range(count)
    ]
    figure = errors_figure(series, "CER", "%")
    places = sorted(x.xyann[1] for x in figure.axes[0].texts)
    # Axes are an inch lower than the figure; a line of 8 points needs 0.14.
    inches = figure.get_figheight() - 1.0
    gaps = [b - a for a, b in zip(places, places[1:], strict=False)]
    assert min(gaps) * inches >= 0.14
    assert -1e-9 <= places[0] and places[-1] <= 1.05


@pytest.mark.parametrize(
    ("low", "high", "scale"), [(10, 29, "linear"), (10, 31, "log")]
)
def test_errors_far_apart_have_a_logarithmic_axis(low, high, scale):
    series = [Series("a", [0.5, 0.9], [low, high], [low] * 2, [high] * 2)]
    axes = errors_figure(series, "CER", "CER (%)").axes[0]
    assert axes.get_yscale() == scale
    assert ("log scale" in axes.get_ylabel()) == (scale == "log")
    assert axes.get_ylim()[0] < low and axes.get_ylim()[1] > high


def test_errors_never_reach_below_zero_but_differences_do():
    near = Series("a", [0.5], [1.0], [0.1], [0.2])
    assert errors_figure([near], "", "").axes[0].get_ylim()[0] >= 0.0
    less = Series("a", [0.5], [-1.0], [-2.0], [1.0])
    assert errors_figure([less], "", "").axes[0].get_ylim()[0] < -2.0


def test_an_unknown_interval_is_left_out():
    level = Series("start", [], [8.0], [math.nan], [math.nan])
    low, high = errors_figure([CURVE, level], "", "").axes[0].get_ylim()
    assert low < 8.0 and high > 15.0


def test_steps_are_on_a_logarithmic_axis():
    series = [
        Series("a", [1000], [10], [9], [11], 0, True),
        Series("b", [9000], [12], [11], [13], 1),
        LEVEL,
    ]
    axes = steps_figure(series, "80 %", "CER (%)").axes[0]
    assert axes.get_xscale() == "log"
    assert [points(axes.lines[i]) for i in (0, 2)] == [
        [(1000, 10)],
        [(9000, 12)],
    ]
    assert names(axes) == ["a", "b", "dense"]
    low, high = axes.get_xlim()
    assert low < 1000 and high > 9000


def test_the_reference_stands_out():
    axes = steps_figure(
        [Series("a", [9], [1], [1], [1], 0, True), POINT], "", ""
    ).axes[0]
    weights = [x.get_fontweight() for x in axes.texts]
    assert weights == ["bold", "normal"]
    assert axes.lines[0].get_markersize() > axes.lines[2].get_markersize()


def test_later_methods_have_other_dashes():
    count = len(LIGHT.palette)
    series = [
        Series(f"{i}", [0.5, 0.9], [5, 6], [5, 6], [5, 6], i)
        for i in (0, count)
    ]
    first, later = errors_figure(series, "", "").axes[0].lines
    assert first.get_color() == later.get_color()
    assert first.get_linestyle() != later.get_linestyle()
    assert first.get_marker() != later.get_marker()


def test_gaps_show_the_interval_around_zero():
    gaps = [Gap("a", -1.0, -2.0, -0.5, 0), Gap("b", 0.25, -0.5, 1.0, 1)]
    axes = gaps_figure(gaps, "at 80 %", "points").axes[0]
    zero, *drawn = axes.lines
    assert list(zero.get_xdata()) == [0.0, 0.0]
    assert points(drawn[0]) == [(-2.0, 0), (-0.5, 0)]
    assert points(drawn[3]) == [(0.25, 1)]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["a", "b"]
    # The first one is on top.
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_density_shows_every_number():
    columns = {"a": {"w": 0.25, "v": 0.5}, "b": {"w": 1.0}}
    axes = density_figure(columns, "kept").axes[0]
    shown = {x.get_position(): x.get_text() for x in axes.texts}
    assert shown == {(0, 0): "25", (1, 0): "100", (0, 1): "50"}
    assert [x.get_text() for x in axes.get_xticklabels()] == ["a", "b"]
    assert [x.get_text() for x in axes.get_yticklabels()] == ["w", "v"]


def test_matrix_and_tree_have_one_order():
    given = ["en", "ru", "de", "uk"]
    matrix = np.array(
        [
            [1.0, 0.4, 0.7, 0.5],
            [0.4, 1.0, 0.2, 0.9],
            [0.7, 0.2, 1.0, 0.3],
            [0.5, 0.9, 0.3, 1.0],
        ]
    )
    upper, lower, *_ = kinship_figure(given, matrix, "masks").axes
    order = [x.get_text() for x in upper.get_yticklabels()]
    assert order == [x.get_text() for x in lower.get_yticklabels()]
    assert abs(order.index("ru") - order.index("uk")) == 1
    for text in upper.texts:
        j, i = text.get_position()
        a, b = given.index(order[i]), given.index(order[j])
        assert text.get_text() == f"{matrix[a, b]:.2f}"
    joined = sorted(min(line.get_xdata()) for line in lower.lines)
    assert joined == pytest.approx([0.35, 0.7, 0.9])


def test_long_names_are_cut():
    series = [Series("$" + "x" * 60, [0.5], [1], [1], [1])]
    name = names(errors_figure(series, "", "").axes[0])[0]
    assert name == r"\$" + "x" * 20 + "…"
    labels = density_figure({"a": {"m" * 60 + ".w": 0.5}}, "").axes[0]
    label = labels.get_yticklabels()[0].get_text()
    assert len(label) == 36 and label.endswith("m.w")
