"""Data are told apart by their manifests and by their audio."""

import shutil

import numpy as np
import pytest
import soundfile

from leanbrain.dataio.digest import data_digest
from leanbrain.dataio.manifests import COLUMNS, write_manifest
from leanbrain.dataio.preparation import check_splits


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "valid"):
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 800)
        soundfile.write(folder / f"{split}.wav", noise, 8000)
        row = [split, 0.1, f"{{data_root}}/{split}.wav", "en", "s", "a"]
        write_manifest(
            folder / f"{split}.csv", [dict(zip(COLUMNS, row, strict=True))]
        )
    return folder


def reverse(data):
    """The same length and size: only the samples are others."""
    path = data / "valid.wav"
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[::-1], rate)


def other_text(data):
    path = data / "valid.csv"
    path.write_text(path.read_text().replace(",a\n", ",b\n"))


def checked(data):
    rows = [
        dict(zip(COLUMNS, ["a", 0.1, x, "en", "s", "a"], strict=True))
        for x in ("{data_root}/train.wav", "{data_root}/valid.wav")
    ]
    return check_splits({"train": rows}, data, data.parent / "out", 8000).digest


@pytest.mark.parametrize("digest", [data_digest, checked])
def test_audio_that_changed_is_other_data(data, digest):
    before = digest(data)
    assert digest(data) == before
    reverse(data)
    assert digest(data) != before


@pytest.mark.parametrize("digest", [data_digest, checked])
def test_where_data_lie_makes_no_difference(data, digest):
    before = digest(data)
    assert digest(shutil.copytree(data, data.parent / "other")) == before


def test_texts_count_and_missing_audio_is_no_error(data):
    before = data_digest(data)
    other_text(data)
    changed = data_digest(data)
    assert changed != before
    (data / "valid.wav").unlink()
    assert data_digest(data) not in (before, changed)


def test_another_rate_is_another_preparation(data):
    rows = [
        dict(
            zip(
                COLUMNS,
                ["a", 0.1, "{data_root}/train.wav", "en", "s", "a"],
                strict=True,
            )
        )
    ]
    found = {
        check_splits({"train": rows}, data, data.parent / "out", rate).digest
        for rate in (8000, 16000)
    }
    assert len(found) == 2
