"""Suites: what is compared, and what cannot be."""

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.suite import (
    Choice,
    MasksFrom,
    Method,
    Steps,
    Suite,
)
from leanbrain.pruning.comparison.suite_file import load_suite

SUITE = {
    "name": "small",
    "languages": ["en", "ru"],
    "seeds": [1],
    "steps": Steps(3, 20),
    "overrides": {},
    "start": {},
}
YAML = """
name: small
languages: [en, ru]
seeds: [1, 2]
sparsities: [0.5, 0.8]
steps: {epochs: 3, batches_per_epoch: 20}
start: {lstm_neurons: 8}
overrides: {lr: 0.2}
step_s: 0.5
methods:
    - {name: dense, method: none, sparsities: [0.0]}
    - {name: lap, settings: {heal: 0.2}}
    - {name: lsp, sparsities: [0.8], per_language: True, budget: 0.25}
    - name: fixed
      method: fixed_pathways
      masks_from: {method: lsp, sparsity: same}
    - {name: late, method: own.yaml, masks_from: {method: lap, sparsity: 0.5}}
"""


@pytest.fixture
def load(tmp_path):
    def load(text, **settings):
        path = tmp_path / "suite.yaml"
        path.write_text(text)
        return load_suite(path, **settings)

    return load


@pytest.mark.parametrize("budget", [0.01, 0.25, 1 / 3, 1.0, 1.5, 2, 7.3])
@pytest.mark.parametrize("steps", [Steps(1, 1), Steps(3, 210), Steps(4, 7)])
def test_a_budget_is_met_to_the_step(steps, budget):
    scaled = steps.scaled(budget)
    assert scaled.total == max(1, int(steps.total * budget + 0.5))
    assert 1 <= scaled.epochs <= max(1, steps.epochs * budget)


def test_the_whole_budget_changes_nothing():
    assert Steps(3, 210).scaled(1.0) == Steps(3, 210)


def test_a_file_says_what_a_suite_is(load, tmp_path):
    suite = load(YAML)
    assert suite.languages == ["en", "ru"] and suite.seeds == [1, 2]
    assert suite.steps == Steps(3, 20)
    assert (suite.start, suite.overrides) == ({"lstm_neurons": 8}, {"lr": 0.2})
    assert (suite.step_s, suite.run_s) == (0.5, 20.0)
    assert suite.methods == [
        Method("dense", "none", [0.0]),
        Method("lap", "lap", [0.5, 0.8], {"heal": 0.2}),
        Method("lsp", "lsp", [0.8], per_language=True, budget=0.25),
        Method(
            "fixed", "fixed_pathways", [0.5, 0.8], masks_from=MasksFrom("lsp")
        ),
        Method(
            "late",
            str(tmp_path / "own.yaml"),
            [0.5, 0.8],
            masks_from=MasksFrom("lap", 0.5),
        ),
    ]


def test_languages_are_those_of_the_data_if_none_are_named(load):
    text = YAML.replace("languages: [en, ru]\n", "")
    assert load(text, languages=["de", "fr"]).languages == ["de", "fr"]
    assert load(YAML, languages=["de", "fr"]).languages == ["en", "ru"]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("seeds: [1, 2]", "seed: [1, 2]", "key of the suite.*nearest: seeds"),
        ("seeds: [1, 2]", "seeds: 1", "`seeds` must be a list, got 1"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "`seeds` must be different"),
        ("seeds: [1, 2]", "seeds: [-1]", "`seeds` must be an integer >= 0"),
        ("seeds: [1, 2]\n", "", "must have the key `seeds`"),
        ("epochs: 3, ", "", "`steps` must have the keys epochs"),
        ("epochs: 3", "epochs: 0", "`steps.epochs` must be an integer >= 1"),
        ("name: lap", "names: lap", "key of methods.*nearest: name"),
        ("name: lap", "name: lsp", "`methods` must be different"),
        ("name: lap", "name: start", "`name` of a method.*got 'start'"),
        ("name: lap", "name: a|b", "`name` of a method.*got 'a|b'"),
        ("name: lap", "name: zero_shot", "`name` of a method.*'zero_shot'"),
        ("{name: lap,", "{method: lap,", "must have a `name`"),
        ("0.5, 0.8]", "0.5, 1.0]", r"`sparsities` must be in \[0, 1\)"),
        ("budget: 0.25", "budget: 0", "`budget` must be a finite number > 0"),
        ("per_language: True", "per_language: 3", "`per_language` must be"),
        ("method: lsp, sparsity: same", "method: lsp", "keys method, sparsity"),
        ("method: lsp, sparsity: same", "method: x, sparsity: 0.5", "got 'x'"),
        ("sparsity: 0.5", "sparsity: 5", "`masks_from.sparsity` must be in"),
        ("settings: {heal: 0.2}", "settings: 3", "`settings` must be a map"),
        ("settings: {heal: 0.2}", "settings: {a: 2020-01-01}", "`settings.a`"),
        ("{heal: 0.2}", "{sparsity: 0.5}", "`settings` must not hold `spar"),
        ("{heal: 0.2}", "{initial_masks: a.pt}", "not hold `initial_masks`"),
        ("{lr: 0.2}", "{seed: 9}", "`overrides` must not hold `seed`, .*9"),
        ("{lr: 0.2}", "{number_of_epochs: 5}", "not hold `number_of_epochs`"),
        ("{lr: 0.2}", "{languages: [en]}", "not hold `languages`"),
        ("{lstm_neurons: 8}", "{seed: 1}", "`start` must not hold `seed`"),
        ("seeds: [1, 2]", "seeds: [a]", "`seeds` must be an integer"),
        ("[0.5, 0.8]", "[0.8, 0.80]", "`sparsities of lap` must be different"),
        ("[0.5, 0.8]", "[a]", "`sparsities` must be"),
        (
            "[en, ru]",
            "[en, no]",
            "`languages` must be .*, got False .*quotes",
        ),
        ("[en, ru]", "en", "`languages` must be a list, got 'en'"),
        ("{heal: 0.2}", "{pathways: [en]}", r"of lap must be \[all\],.*'en'"),
        ("name: lap", "name: lap, seeds: [1, 1]", "`seeds of lap` must be dif"),
        ("name: lap", "name: lap, seeds: 1", "`seeds` must be a list, got 1"),
        (
            "step_s: 0.5",
            "zero_shot: {number_of_epochs: 1}",
            "`zero_shot` must not hold `number_of_epochs`",
        ),
        (
            "step_s: 0.5",
            "keep_checkpoints: 0",
            "`keep_checkpoints` must be True or False, got 0",
        ),
        ("name: small", "name: a/b", "`name` must be a name without"),
        (
            "step_s: 0.5",
            "step_s: 0.5\nrelated: [[en, ru]]",
            "`related` must list two pairs.*'en', 'ru'",
        ),
        (
            "step_s: 0.5",
            "step_s: 0.5\nrelated: [[[en, ru], [en, uk]]]",
            "`related` must list two pairs.*'uk'",
        ),
        ("budget: 0.25", "from_scratch: 1", "`from_scratch` must be True or"),
        ("step_s: 0.5", "step_s: 0", "`step_s` must be a finite number > 0"),
        ("name: small", "name: !new:x.Y", "must be plain YAML"),
        ("step_s: 0.5", "step_s: 0.5\nstep_s: 1", "'step_s' is there twice"),
        ("budget: 0.25", "budget: 0.25, budget: 1", "'budget' is there twice"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(load, old, new, message):
    assert YAML.count(old)
    with pytest.raises(UserError, match=message):
        load(YAML.replace(old, new, 1))


def test_keys_that_few_suites_have(load):
    text = YAML.replace("name: lap,", "name: lap, from_scratch: True,")
    suite = load(text + "related: [[[ru, en], [en, ru]]]\n")
    assert suite.method("lap").from_scratch
    assert not suite.method("lsp").from_scratch
    assert suite.related == [[["ru", "en"], ["en", "ru"]]]
    assert suite.zero_shot is None and suite.keep_checkpoints
    text = YAML.replace("name: lap,", "name: lap, seeds: [2],")
    suite = load(text + "zero_shot: {a: 1}\nkeep_checkpoints: False\n")
    assert suite.method("lap").seeds == [2]
    assert suite.method("lsp").seeds is None
    assert suite.zero_shot == {"a": 1} and not suite.keep_checkpoints


@pytest.mark.parametrize(
    "seeds, message",
    [
        ([1, 1], r"`seeds` must be different, got \[1, 1\]"),
        ([-3], "`seeds` must be an integer >= 0, got -3"),
    ],
)
def test_seeds_that_are_asked_for_are_checked(seeds, message):
    with pytest.raises(UserError, match=message):
        Choice(seeds=seeds)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.yaml does not exist"):
        load_suite(tmp_path / "nowhere.yaml")


def test_masks_do_not_go_in_a_circle():
    methods = [
        Method("a", "a", [0.5], masks_from=MasksFrom("b")),
        Method("b", "b", [0.5], masks_from=MasksFrom("a")),
    ]
    with pytest.raises(UserError, match="got a from b from a"):
        Suite(**SUITE, methods=methods)


def test_a_part_of_a_suite_keeps_its_dense_control(load):
    suite = load(YAML)
    part = suite.cells(Choice(sparsities=[0.5]))
    assert part == [("dense", 0.0), ("lap", 0.5), ("fixed", 0.5), ("late", 0.5)]
    assert suite.cells(Choice(methods=["lsp"])) == [("lsp", 0.8)]
    assert len(suite.cells()) == 8


def test_a_part_that_is_not_there_is_named(load):
    suite = load(YAML)
    with pytest.raises(UserError, match=r"0\.5, 0\.8\), got 0\.6"):
        suite.cells(Choice(sparsities=[0.6]))
    with pytest.raises(UserError, match="`method` must be one of.*'lip'"):
        suite.cells(Choice(methods=["lip"]))
