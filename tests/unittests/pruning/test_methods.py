"""load_method: settings replace keys; what is wrong is one sentence."""

from pathlib import Path

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.methods import load_method

TINY = """
total_steps: !PLACEHOLDER
pathways: [all]
sparsity: 0.5
files: null
pruner: !new:types.SimpleNamespace
    steps: !ref <total_steps>
    pathways: !ref <pathways>
    files: !ref <files>
    schedule: !name:leanbrain.pruning.schedules.constant
        sparsity: !ref <sparsity>
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


def test_settings_reach_what_refers_to_them(tiny):
    found = load_method(
        tiny,
        total_steps=7,
        pathways=("en", "fr"),
        sparsity=0.9,
        files={"en": Path("a") / "b.pt"},
    )
    pruner = found["pruner"]
    assert (pruner.steps, pruner.pathways) == (7, ["en", "fr"])
    assert pruner.files == {"en": "a/b.pt"}
    assert pruner.schedule(0.0) == 0.9 and found["sparsity"] == 0.9


def test_what_is_not_given_stays(tiny):
    pruner = load_method(str(tiny), total_steps=7)["pruner"]
    assert pruner.pathways == ["all"] and pruner.files is None


def test_a_mapping_can_fill_what_is_open(tiny):
    """HyperPyYAML alone refuses it: a placeholder is no mapping."""
    steps = {"en": 1, "fr": 2}
    assert load_method(tiny, total_steps=steps)["pruner"].steps == steps


def test_included_files_are_found_beside_the_method(tiny, tmp_path):
    (tmp_path / "part.yaml").write_text("x: 3\n")
    tiny.write_text("part: !include:part.yaml\npruner: !ref <part[x]>\n")
    assert load_method(tiny)["pruner"] == 3


def test_an_unknown_setting_names_the_file_s_keys(tiny):
    rule = "tiny.yaml` must be one of total_steps, .* 'sparsty' .nearest: spar"
    with pytest.raises(UserError, match=rule):
        load_method(tiny, total_steps=7, sparsty=0.9)


def test_what_cannot_be_built_names_the_setting_as_the_user_does(tiny):
    text = TINY + "check: !apply:leanbrain.checks.check_int [low, !ref <files>]"
    tiny.write_text(text)
    rule = r"`low` must be .* got 'x', with files=x in .*tiny.yaml\.$"
    with pytest.raises(UserError, match=rule):
        load_method(tiny, total_steps=7, files="x")
    with pytest.raises(UserError, match=r"`low` must be .* got None\.$"):
        load_method(tiny, total_steps=7)


def test_the_pruner_is_no_setting(tiny):
    with pytest.raises(UserError, match="files; got 'pruner'"):
        load_method(tiny, total_steps=7, pruner=None)


def test_what_is_still_open_is_named(tiny):
    with pytest.raises(UserError, match="must be given `total_steps`, got n"):
        load_method(tiny)


@pytest.mark.parametrize(
    "text, match",
    [
        (None, "The method .* does not exist"),
        ("a: [1", "must be YAML, got"),
        ("a: 1", "must have the key `pruner`"),
        ("- 1", "must have the key `pruner`"),
    ],
)
def test_what_is_no_method_is_refused(tmp_path, text, match):
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=match):
        load_method(path)


def test_a_mapping_changes_keys_of_an_included_file(tiny, tmp_path):
    (tmp_path / "part.yaml").write_text("x: 3\ny: 4\nz: !ref <x> + <y>\n")
    tiny.write_text("part: !include:part.yaml\npruner: !ref <part[z]>\n")
    assert load_method(tiny, part={"x": 5})["pruner"] == 9
