"""A run that goes on with other settings says so."""

import logging

import pytest

from leanbrain.recipes.folder import changed_settings, experiment_folder

BEGAN = "seed: 1\nlr: 0.1\nlist: [1]\nmodel: !new:torch.nn.Linear {}\n"


def start(folder, text):
    """As a recipe does, with SpeechBrain's file written by hand."""
    with experiment_folder(folder):
        (folder / "hyperparams.yaml").write_text(text, encoding="utf-8")


def save(folder):
    """Leaves what SpeechBrain's checkpoints look like."""
    (folder / "save" / "CKPT+2026-01-01").mkdir(parents=True)


def test_a_run_that_goes_on_with_other_settings_names_them(tmp_path, caplog):
    """Key, new and old value; not those that are the same."""
    start(tmp_path / "run", BEGAN)
    save(tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        start(tmp_path / "run", BEGAN.replace("seed: 1", "seed: 2"))
    assert "seed: 2 instead of 1." in caplog.text
    assert "lr" not in caplog.text


@pytest.mark.parametrize("saved", [True, False])
def test_nothing_is_said_where_nothing_is_mixed(tmp_path, caplog, saved):
    """The same settings again; other ones before any checkpoint."""
    start(tmp_path, BEGAN)
    if saved:
        save(tmp_path)
    with caplog.at_level(logging.WARNING):
        start(tmp_path, BEGAN if saved else BEGAN.replace("0.1", "0.2"))
    assert not caplog.text


def test_half_a_file_of_a_killed_run_is_no_error(tmp_path, caplog):
    """There is nothing to compare with."""
    save(tmp_path)
    (tmp_path / "hyperparams.yaml").write_text("a: [1", encoding="utf-8")
    start(tmp_path, BEGAN)
    assert not caplog.text


def test_keys_that_came_or_went_count_objects_do_not():
    """A tree holds objects as mappings, built of keys with names."""
    before = {"a": 1, "model": {"b": 1}}
    after = {"c": 2, "model": {"b": 2}}
    assert changed_settings(before, after) == {
        "a": "none instead of 1",
        "c": "2 instead of none",
    }
