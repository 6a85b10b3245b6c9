"""What no run could be is found before any is started."""

from dataclasses import replace

import pytest
from small_comparison import make_site, make_suite

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.plan import make_plan
from leanbrain.pruning.comparison.suite import MasksFrom, Method


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path)


METHOD = Method("lap", "lap", [0.5])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"languages": ["en", "fr"]}, "`languages` must be one of.*'fr'"),
        ({"start": {"lstm_neuron": 8}}, "`start`.*'lstm_neuron'"),
        ({"overrides": {"rl": 0.1}}, "`overrides` must be one of lr.*'rl'"),
        (
            {"methods": [replace(METHOD, overrides={"rl": 1})]},
            "`overrides of lap` must be one of lr.*'rl'",
        ),
        (
            {"methods": [replace(METHOD, settings={"intrval_": 5})]},
            "intrval_.*the suite's method lap",
        ),
        (
            {"methods": [replace(METHOD, settings={"interval": "x"})]},
            "`interval` must be an integer.*'x'.*method lap",
        ),
        (
            {"methods": [replace(METHOD, settings={"heal": [1]})]},
            "heal.* got .*lap",
        ),
        (
            {"methods": [Method("fixed", "fixed_pathways", [0.5])]},
            "must be given `initial_masks`",
        ),
        (
            {
                "methods": [
                    METHOD,
                    replace(METHOD, name="b", masks_from=MasksFrom("lap")),
                ]
            },
            "'initial_masks'.*method b",
        ),
        (
            {
                "methods": [
                    METHOD,
                    Method(
                        "fixed",
                        "fixed_pathways",
                        [0.5, 0.8],
                        masks_from=MasksFrom("lap", 0.5),
                    ),
                ]
            },
            "`masks_from.sparsity` of fixed must be 0.8.* got 0.5",
        ),
        (
            {"start": {"number_of_epochs": "two"}},
            "`start.number_of_epochs` must be an integer >= 1, got 'two'",
        ),
    ],
)
def test_what_no_run_could_be_is_named_before_any(site, changes, message):
    with pytest.raises(UserError, match=message):
        make_plan(make_suite(**changes), site)
