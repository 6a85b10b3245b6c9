"""The layout must show what the monitor writes."""

import re

import pytest

from leanbrain.pruning.monitor import tags

GROUPS = ["model.CNN", "a+b"]
WRITTEN = [
    tags.SPARSITY_PLANNED,
    tags.SPARSITY_REAL,
    tags.DENSITY_UNION,
    tags.density("en"),
    tags.churn("en"),
    tags.explored("en"),
    tags.overlap("en", "fr"),
    tags.loss("en"),
    tags.guard("held"),
    tags.metric("valid", "cer", "en"),
    tags.mean_metric("valid", "cer"),
    tags.group_density("model.CNN", "en"),
    tags.group_density("a+b", "en"),
    "train/loss",
    "valid/loss",
]


def charts_of(tag):
    """Titles of the charts that show a tag, found as TensorBoard does."""
    return [
        title
        for charts in tags.layout(GROUPS).values()
        for title, patterns in charts.items()
        if any(re.match(pattern, tag) for pattern in patterns)
    ]


@pytest.mark.parametrize("tag", WRITTEN)
def test_every_curve_is_in_exactly_one_chart(tag):
    assert len(charts_of(tag)) == 1


def test_every_chart_has_a_curve():
    shown = {title for tag in WRITTEN for title in charts_of(tag)}
    titles = {t for x in tags.layout(GROUPS).values() for t in x}
    assert shown == titles


@pytest.mark.parametrize("tag", ["valid/loss/en", "train/loss_scale", "x/loss"])
def test_no_chart_shows_what_only_begins_alike(tag):
    assert charts_of(tag) == []


def test_groups_have_charts_of_their_own():
    assert charts_of("pruning/density_group/model_CNN/en") == []
    assert charts_of(tags.group_density("a+b", "en")) == ["Density of a+b"]


def test_what_matters_most_comes_first():
    assert list(tags.layout()) == ["Overview", "Pathways"]
    assert list(tags.layout(["x"])) == ["Overview", "Pathways", "Layers"]
    assert next(iter(tags.layout()["Overview"])).startswith("CER per language")
