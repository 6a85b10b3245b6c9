"""Rules: those that come along are right, wrong ones are refused."""

import copy
import re

import pytest
import yaml

from leanbrain.checks import UserError
from leanbrain.optbench.protocol.rules import Rules, load_rules

FILES = ("cpu", "algoperf_external", "algoperf_self_tuning")


@pytest.fixture(scope="module")
def valid(repo_root):
    """Rules as YAML gives them."""
    text = (repo_root / "hparams/rules/cpu.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", FILES)
def test_rules_that_come_along(repo_root, name):
    rules = load_rules(repo_root / f"hparams/rules/{name}.yaml")
    assert rules.name == name and rules.label == f"{name}-{rules.version}"
    assert rules.max_ratio == 4
    assert rules.bootstrap.draws >= 2000
    # The curve of relaxations begins with the strict target.
    assert rules.target.relaxations_percent[:6] == (0, 1, 2, 5, 10, 20)
    assert rules.target.relaxation_percent in rules.target.relaxations_percent
    for optimizer in rules.target.optimizers:
        assert (repo_root / f"hparams/optimizers/{optimizer}.yaml").is_file()


def test_numbers_of_algoperf(repo_root):
    folder = repo_root / "hparams/rules"
    external = load_rules(folder / "algoperf_external.yaml")
    self_tuning = load_rules(folder / "algoperf_self_tuning.yaml")
    assert (external.studies, external.trials_per_study) == (3, 5)
    assert (self_tuning.studies, self_tuning.trials_per_study) == (3, 1)
    assert (external.budget_factor, self_tuning.budget_factor) == (1.0, 1.5)
    for rules in (external, self_tuning):
        assert (rules.target.points, rules.target.seeds) == (200, 20)
        assert rules.score_mode == "grid" and rules.time_unit == "wall"
        assert rules.target.relaxation_percent == 0


def set_key(values, path, value):
    """A copy with one key, a.b for nested ones, of another value."""
    changed = copy.deepcopy(values)
    *outer, last = path.split(".")
    inner = changed
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("version", "1", "`version` must be an integer >= 1, got '1'."),
        ("name", 3, "`name` must be a text, got 3."),
        ("tuning", "extern", "`tuning` must be one of external, self; got"),
        ("studies", 0, "`studies` must be an integer >= 1, got 0."),
        ("trials_per_study", 2.5, "`trials_per_study` must be an integer"),
        ("budget_factor", "4/3", "`budget_factor` must be a finite number > 0"),
        ("max_ratio", 1, "`max_ratio` must be > 1, got 1."),
        ("score_mode", "fast", "`score_mode` must be one of exact, grid; got"),
        ("variants", 1, "`variants` must be true or false, got 1."),
        ("eval_share", 1.0, "`eval_share` must be in (0, 1), got 1.0."),
        ("time_unit", "step", "`time_unit` must be one of calibrated, wall;"),
        ("studeis", 3, "`key of rules` must be one of name, version,"),
        (
            "target.point",
            3,
            "`key of target` must be one of optimizers, points",
        ),
        ("target", None, "`target` must be a mapping of keys, got None."),
        ("target.seeds", -1, "`target.seeds` must be an integer >= 1, got -1."),
        ("target.optimizers", [], "`target.optimizers` must be a list of at"),
        ("target.optimizers", "adamw", "must be a list of at least one entry"),
        (
            "target.relaxations_percent",
            [0, -5],
            "`target.relaxations_percent[1]` must be in [0, 100], got -5.",
        ),
        ("bootstrap.draws", True, "`bootstrap.draws` must be an integer"),
        (
            "bootstrap.confidence",
            95,
            "`bootstrap.confidence` must be in (0, 1)",
        ),
        (
            "tuning",
            "self",
            '`trials_per_study` must be 1 where `tuning` is "se',
        ),
    ],
)
def test_wrong_values(valid, path, value, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        Rules.from_mapping(set_key(valid, path, value))


@pytest.mark.parametrize("key", ["studies", "target.points", "bootstrap.draws"])
def test_missing_keys(valid, key):
    values = copy.deepcopy(valid)
    outer, _, last = key.rpartition(".")
    del (values[outer] if outer else values)[last]
    with pytest.raises(UserError, match=f"must have the key `{key}`"):
        Rules.from_mapping(values)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "are not YAML"),
        ("", "are wrong: Rules must be a mapping of keys, got None."),
        ("- 1", r"are wrong: Rules must be a mapping of keys, got \[1\]\."),
    ],
)
def test_files_that_are_no_rules(tmp_path, text, sentence):
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"^The rules .*odd\.yaml {sentence}"):
        load_rules(path)
