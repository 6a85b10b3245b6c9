"""RandomState: a resumed run draws what the straight one would have drawn."""

import random

import numpy as np
import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.randomness import RandomState


def draw():
    return random.random(), float(np.random.rand()), torch.rand(3).tolist()


def test_save_load_resume_repeats_the_numbers(tmp_path):
    state = RandomState()
    draw()
    state._save(tmp_path / "state.ckpt")
    expected = draw()
    draw()
    other = RandomState()
    other._load(tmp_path / "state.ckpt", False)
    torch.rand(7)  # recovery itself may draw
    assert other.resume() is True
    assert draw() == expected


def test_resume_applies_once_and_only_after_a_load(tmp_path):
    state = RandomState()
    before = torch.get_rng_state()
    assert state.resume() is False
    assert torch.equal(before, torch.get_rng_state())
    state._save(tmp_path / "state.ckpt")
    state._load(tmp_path / "state.ckpt", False)
    assert state.resume() and not state.resume()


def test_a_foreign_file_is_refused(tmp_path):
    torch.save({"format": "other", "version": 1}, tmp_path / "state.ckpt")
    with pytest.raises(UserError, match="leanbrain.randomstate"):
        RandomState()._load(tmp_path / "state.ckpt", False)


def test_fewer_ranks_go_on_and_it_is_said(tmp_path, caplog):
    first, second = (torch.manual_seed(s).get_state() for s in (1, 2))
    torch.set_rng_state(first)
    state = RandomState().capture()
    expected = draw()
    file = {"format": "leanbrain.randomstate", "version": 2}
    file["ranks"] = [state, {**state, "torch": second}]
    torch.save(file, tmp_path / "state.ckpt")
    resumed = RandomState()
    resumed._load(tmp_path / "state.ckpt", False)
    assert resumed.resume() and draw() == expected
    assert "generators of 2 ranks, and there are 1 now" in caplog.text
    assert len(caplog.records) == 1


def test_the_same_ranks_resume_without_a_word(tmp_path, caplog):
    RandomState()._save(tmp_path / "state.ckpt")
    RandomState()._load(tmp_path / "state.ckpt", False)
    assert not caplog.records
