"""The prepare script of the digits recipe: checks, and is idempotent."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio.digits import DIGIT_COLUMNS, DIGITS
from leanbrain.dataio.manifests import SPLITS, read_manifest, write_manifest

SPEAKERS = {"train": ("ann", "bob"), "valid": ("cy",), "test": ("di",)}


@pytest.fixture(scope="module")
def prepare(repo_root: Path) -> Callable[..., dict[str, Any]]:
    path = (
        repo_root
        / "recipes/SpokenDigits/classification"
        / "spoken_digits_prepare.py"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepare_spoken_digits


def rows_of(split: str) -> list[dict[str, Any]]:
    return [
        {
            "ID": f"{speaker}_{digit}",
            "duration": 1.0,
            "wav": f"{{data_root}}/{speaker}_{digit}.wav",
            "lang": "en" if digit % 2 else "fr",
            "spk_id": speaker,
            "wrd": DIGITS[digit],
            "digit": digit,
        }
        for speaker in SPEAKERS[split]
        for digit in range(10)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Manifests in no good order."""
    folder = tmp_path / "data"
    folder.mkdir()
    for split in SPLITS:
        rows = rows_of(split)
        write_manifest(folder / f"{split}.csv", rows[::-1], DIGIT_COLUMNS)
        for row in rows:
            noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
            soundfile.write(folder / f"{row['ID']}.wav", noise, 8000)
    return folder


def rewrite(data: Path, split: str, **changes: Any) -> None:
    """Changes the first row of a manifest."""
    rows = rows_of(split)
    rows[0].update(changes)
    write_manifest(data / f"{split}.csv", rows, DIGIT_COLUMNS)


def test_summary_and_manifests(prepare, data, tmp_path):
    summary = prepare(data, tmp_path / "save", 8000)
    assert summary == {
        "data_root": str(data.resolve()),
        "counts": {
            "train": {"en": 10, "fr": 10},
            "valid": {"en": 5, "fr": 5},
            "test": {"en": 5, "fr": 5},
        },
        "minutes": {"train": 0.33, "valid": 0.17, "test": 0.17},
        "speakers": {"train": 2, "valid": 1, "test": 1},
    }
    for split in SPLITS:
        rows = read_manifest(tmp_path / "save" / f"{split}.csv")
        assert list(rows) == sorted(r["ID"] for r in rows_of(split))
        for name, row in rows.items():
            assert row["digit"] == name[-1]
            assert row["wav"].startswith("{data_root}/")


def test_unchanged_input_is_skipped_and_changed_is_not(prepare, data, tmp_path):
    save = tmp_path / "save"
    first = prepare(data, save)
    times = {path: path.stat().st_mtime_ns for path in save.iterdir()}
    assert len(times) == 4
    assert prepare(data, save) == first
    assert {p: p.stat().st_mtime_ns for p in save.iterdir()} == times
    rewrite(data, "valid", digit=9)
    prepare(data, save)
    assert read_manifest(save / "valid.csv")["cy_0"]["digit"] == "9"


def test_skip_prep_reads_nothing_but_the_summary(prepare, data, tmp_path):
    first = prepare(data, tmp_path / "save")
    gone = tmp_path / "gone"
    assert prepare(gone, tmp_path / "save", skip_prep=True) == first
    with pytest.raises(UserError, match="`skip_prep` must be False at the fi"):
        prepare(data, tmp_path / "other", skip_prep=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [("train", "valid"), ("train", "test"), ("valid", "test")],
)
def test_a_speaker_in_two_splits_is_named(prepare, data, tmp_path, one, other):
    rewrite(data, other, spk_id=SPEAKERS[one][0])
    match = f"speakers of {one} and {other} .*, got {SPEAKERS[one][0]} in both"
    with pytest.raises(UserError, match=match):
        prepare(data, tmp_path / "save")
    assert not (tmp_path / "save").exists()


@pytest.mark.parametrize("digit", ["10", "-1", "x", "", "01"])
def test_what_is_no_digit_is_named(prepare, data, tmp_path, digit):
    rewrite(data, "test", digit=digit)
    match = f"`digit` must be a number from 0 to 9, got '{digit}' at ID 'di_0'"
    with pytest.raises(UserError, match=match):
        prepare(data, tmp_path / "save")


def test_a_manifest_without_digits_is_named(prepare, data, tmp_path):
    path = data / "test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(x.rpartition(",")[0] for x in lines))
    with pytest.raises(UserError, match="`digit` must be .* got None at ID"):
        prepare(data, tmp_path / "save")


def test_a_digit_that_is_never_trained_is_named(prepare, data, tmp_path):
    rows = [r for r in rows_of("train") if r["digit"] != 4]
    write_manifest(data / "train.csv", rows, DIGIT_COLUMNS)
    with pytest.raises(UserError, match="every digit .*, got no 4 in .*train"):
        prepare(data, tmp_path / "save")


def test_a_speaker_without_a_name(prepare, data, tmp_path):
    rewrite(data, "valid", spk_id=" ")
    with pytest.raises(UserError, match="`spk_id` must not be empty.*'cy_0'"):
        prepare(data, tmp_path / "save")


def test_audio_that_is_missing_or_of_another_rate(
    prepare, data, tmp_path, caplog
):
    prepare(data, tmp_path / "save", 16000)
    assert "train: 20 at 8000 Hz of 20 files are resampled" in caplog.text
    (data / "di_3.wav").unlink()
    rewrite(data, "valid", duration=1000)
    with pytest.raises(UserError, match=r"2 of 40 utterances are of no use"):
        prepare(data, tmp_path / "save")
    table = (tmp_path / "save" / "findings.csv").read_text()
    assert "test,di_3,refused,must exist" in table
    assert "valid,cy_0,refused,must last" in table


def test_words_need_no_frames_and_may_be_new(prepare, data, tmp_path):
    """They are names of classes here: no characters are learned."""
    rewrite(data, "test", wrd="ß" * 100)
    prepare(data, tmp_path / "save")
    assert not (tmp_path / "save" / "findings.csv").exists()


def test_real_digits(prepare, repo_root, tmp_path):
    named = os.environ.get("LEANBRAIN_DATA")
    folder = Path(named) if named else repo_root.parent / "shared" / "data"
    if not (folder / "digits" / "train.csv").is_file():
        pytest.skip("no real digits; set LEANBRAIN_DATA")
    summary = prepare(folder / "digits", tmp_path / "save", 8000)
    assert summary["counts"]["train"] == {"ar": 1000, "en": 1500}
    assert summary["speakers"] == {"train": 13, "valid": 3, "test": 4}
    assert summary["minutes"]["train"] == pytest.approx(27.6, abs=0.1)
