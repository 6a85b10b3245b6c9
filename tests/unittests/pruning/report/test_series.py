"""Curves of a report, by hand."""

from leanbrain.pruning.monitor.charts import Line
from leanbrain.pruning.report.series import (
    by_model,
    languages,
    losses,
    sparsities,
    updates,
)

HISTORY = [
    {"step": 10, "kind": "loss", "loss": {"en": 1.0, "fr": 3.0}},
    {"step": 20, "kind": "loss", "loss": {"en": None, "fr": 1.5}},
    {"step": 25, "kind": "loss", "loss": {"en": None}},
    {
        "step": 20,
        "kind": "update",
        "sparsity_real": 0.25,
        "sparsity_planned": 0.5,
    },
    {
        "step": 30,
        "kind": "metrics",
        "stage": "valid",
        "metrics": {"cer": {"en": 9.0, "fr": 8.0}, "loss": 2.5},
    },
    {
        "step": 40,
        "kind": "metrics",
        "stage": "valid",
        "metrics": {"cer": {"en": 7.0, "fr": None}},
    },
    {
        "step": 40,
        "kind": "metrics",
        "stage": "test",
        "metrics": {"cer": {"en": 1.0, "fr": 1.0}, "loss": 1.0},
    },
]


def test_a_control_whose_masks_keep_all_is_no_sparse_model():
    first = {"step": 0, "kind": "update"}
    keeps_all = {**first, "sparsity_real": 0.0, "sparsity_planned": 0.0}
    assert updates([keeps_all]) == [] and sparsities({"a": [keeps_all]}) == []
    assert updates([keeps_all, *HISTORY]) == [keeps_all, HISTORY[3]]


def test_languages_keep_their_colour_and_skip_gaps():
    assert languages(HISTORY, "cer") == [
        Line("en", [30, 40], [9.0, 7.0], 0),
        Line("fr", [30], [8.0], 1),
    ]
    assert languages(HISTORY, "wer") == []


def test_losses_are_means_over_pathways():
    assert losses({"a": [], "b": HISTORY}) == [
        Line("b", (10, 20), (2.0, 1.5), 1),
        Line("", (30,), (2.5,), 1, dashed=True),
    ]


def test_validation_loss_alone_is_labelled():
    lines = losses({"b": HISTORY[3:]})
    assert lines == [Line("b", (30,), (2.5,), 0, dashed=True)]


def test_sparsity_lasts_until_the_end_in_percent():
    assert sparsities({"dense": HISTORY[:3], "b": HISTORY}) == [
        Line("b", [20, 40], [25.0, 25.0], 1, stairs=True),
        Line("", [20, 40], [50.0, 50.0], 1, dashed=True, stairs=True),
    ]


def test_means_are_those_of_the_result_where_it_has_them():
    one = {"cer": {"en": 1.0, "fr": 2.0}, "wer": {"en": 4.0, "fr": 6.0}}
    summary = {"a": {**one, "mean_cer": 1.7}, "host": {}}
    assert by_model(summary, "cer") == {
        "a": {"en": 1.0, "fr": 2.0, "mean": 1.7}
    }
    assert by_model(summary, "wer") == {
        "a": {"en": 4.0, "fr": 6.0, "mean": 5.0}
    }
