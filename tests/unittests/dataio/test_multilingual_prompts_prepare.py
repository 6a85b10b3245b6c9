"""The prepare script of the recipe: selects, checks, and is idempotent."""

import importlib.util
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio.manifests import SPLITS, read_manifest, write_manifest
from leanbrain.tables import read_csv

LANGUAGES = ("nl", "en", "fr")


@pytest.fixture(scope="module")
def script(repo_root: Path) -> ModuleType:
    path = (
        repo_root
        / "recipes/MultilingualPrompts/ASR/CTC"
        / "multilingual_prompts_prepare.py"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def prepare(script: ModuleType) -> Callable[..., dict[str, Any]]:
    return script.prepare_multilingual_prompts


def row(split: str, language: str, number: int) -> dict[str, Any]:
    name = f"{language}_{split}_{number}"
    return {
        "ID": name,
        "duration": 6.0,
        "wav": f"{{data_root}}/{name}.wav",
        "lang": language,
        "spk_id": "s",
        "wrd": "yes",
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with 3, 2, 1 utterances per language, in no good order."""
    folder = tmp_path / "data"
    folder.mkdir()
    for split, count in zip(SPLITS, (3, 2, 1), strict=True):
        rows = [row(split, la, n) for la in LANGUAGES for n in range(count)]
        write_manifest(folder / f"{split}.csv", rows[::-1])
        for one in rows:
            say(folder, one["ID"])
    return folder


def say(
    folder: Path, name: str, rate: int = 8000, seconds: float = 6.0
) -> None:
    """Writes noise as the audio of an utterance."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(rate * seconds))
    soundfile.write(folder / f"{name}.wav", noise, rate)


def test_all_languages(prepare, data, tmp_path):
    summary = prepare(data, tmp_path / "save")
    counts = {
        split: dict.fromkeys(sorted(LANGUAGES), count)
        for split, count in zip(SPLITS, (3, 2, 1), strict=True)
    }
    assert summary["languages"] == ["en", "fr", "nl"]
    assert summary["data_root"] == str(data.resolve())
    assert summary["counts"] == counts
    assert summary["minutes"]["train"] == {"en": 0.3, "fr": 0.3, "nl": 0.3}
    for split in SPLITS:
        rows = read_manifest(tmp_path / "save" / f"{split}.csv")
        assert list(rows) == sorted(rows)
        assert len(rows) == 3 * counts[split]["en"]
        first = next(iter(rows.values()))
        assert first["wav"] == f"{{data_root}}/{first['ID']}.wav"


def test_some_languages(prepare, data, tmp_path):
    summary = prepare(data, tmp_path / "save", ["nl", "en"], subset=True)
    assert summary["languages"] == ["en", "nl"]
    for split in SPLITS:
        rows = read_manifest(tmp_path / "save" / f"{split}.csv").values()
        assert {one["lang"] for one in rows} == {"en", "nl"}


def test_unchanged_input_is_skipped(prepare, data, tmp_path):
    save = tmp_path / "save"
    first = prepare(data, save)
    times = {path: path.stat().st_mtime_ns for path in save.iterdir()}
    assert len(times) == 4
    assert prepare(data, save) == first
    assert {p: p.stat().st_mtime_ns for p in save.iterdir()} == times


CHANGES = ["languages", "text", "lost", "summary", "audio", "rate", "broken"]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_input_is_not_skipped(prepare, data, tmp_path, change):
    save = tmp_path / "save"
    prepare(data, save)
    languages = None
    if change == "languages":
        languages = ["en"]
    elif change == "text":
        path = data / "test.csv"
        path.write_text(path.read_text().replace("yes", "no"))
    elif change == "lost":
        (save / "valid.csv").unlink()
    elif change == "summary":
        (save / "prepare.json").unlink()
    elif change == "broken":
        (save / "prepare.json").write_text("[]")
    elif change == "audio":  # of the same length
        say(data, "fr_test_0", rate=16000)
    before = (save / "train.csv").stat().st_mtime_ns
    rate = 16000 if change == "rate" else 8000
    summary = prepare(data, save, languages, subset=True, sample_rate=rate)
    assert (save / "train.csv").stat().st_mtime_ns > before
    assert summary == json.loads((save / "prepare.json").read_text())["summary"]
    for split in SPLITS:
        rows = read_manifest(save / f"{split}.csv").values()
        assert {one["lang"] for one in rows} == set(summary["languages"])
        expected = "no" if (change, split) == ("text", "test") else "yes"
        assert {one["wrd"] for one in rows} == {expected}


def test_skip_prep_reads_nothing_but_the_summary(prepare, data, tmp_path):
    save = tmp_path / "save"
    first = prepare(data, save)
    assert prepare(tmp_path / "gone", save, skip_prep=True) == first
    with pytest.raises(UserError, match="`skip_prep` must be False at the fi"):
        prepare(data, tmp_path / "other", skip_prep=True)


def test_nothing_is_printed(prepare, data, tmp_path, capfd, monkeypatch):
    # Handlers of other tests may log to streams that are closed by now.
    for name in (None, "leanbrain"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    prepare(data, tmp_path / "save")
    prepare(data, tmp_path / "save")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("languages", "match"),
    [
        (
            ["en", "nl"],
            "must name every language .* got fr in .* beside en, nl",
        ),
        (["en", "de"], "`languages` must be one of en, fr, nl; got 'de'"),
        ("en", r"`languages` must be a list .*, got 'en'"),
        ([], r"`languages` must name at least one"),
    ],
)
def test_bad_languages_are_named(prepare, data, tmp_path, languages, match):
    with pytest.raises(UserError, match=match):
        prepare(data, tmp_path / "save", languages)
    assert not (tmp_path / "save").exists()


def broken(data: Path, tmp_path: Path, prepare: Any) -> list[dict[str, str]]:
    """What is found where something is of no use; nothing is prepared."""
    with pytest.raises(UserError, match="utterances are of no use"):
        prepare(data, tmp_path / "save")
    assert not (tmp_path / "save" / "prepare.json").exists()
    return read_csv(tmp_path / "save" / "findings.csv")


def test_all_that_is_wrong_is_in_one_table(prepare, data, tmp_path):
    (data / "nl_valid_1.wav").write_bytes(b"RIFF")
    (data / "fr_train_2.wav").unlink()
    say(data, "en_train_0", seconds=3.0)
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (48000, 2))
    soundfile.write(data / "en_test_0.wav", stereo, 8000)
    found = broken(data, tmp_path, prepare)
    assert {(x["split"], x["ID"], x["effect"]) for x in found} == {
        ("valid", "nl_valid_1", "refused"),
        ("train", "fr_train_2", "refused"),
        ("train", "en_train_0", "refused"),
        ("test", "en_test_0", "refused"),
    }
    rules = {x["ID"]: f"{x['rule']}, got {x['got']}" for x in found}
    assert "nl_valid_1.wav" in rules["nl_valid_1"]
    assert rules["en_train_0"] == (
        "must last the seconds that its manifest says, got 3.000 s of audio "
        "for a duration of 6"
    )
    # What was wrong is mended: nothing of it stays.
    for name in rules:
        say(data, name)
    prepare(data, tmp_path / "save")
    assert not (tmp_path / "save" / "findings.csv").exists()


def test_other_rates_are_resampled_and_said(prepare, data, tmp_path, caplog):
    say(data, "fr_test_0", rate=48000)
    say(data, "en_test_0", rate=16000)
    prepare(data, tmp_path / "save")
    assert (
        "test: 1 at 16000 Hz, 1 at 48000 Hz of 3 files are resampled to 8000 Hz"
    ) in caplog.text


def test_texts_are_composed_in_every_split(prepare, data, tmp_path):
    path = data / "test.csv"
    path.write_text(path.read_text().replace("yes", "yese\u0301"))
    path = data / "train.csv"
    path.write_text(path.read_text().replace("yes", "yes\u00e9"))
    prepare(data, tmp_path / "save")
    for split in ("train", "test"):
        rows = read_manifest(tmp_path / "save" / f"{split}.csv").values()
        assert {row["wrd"] for row in rows} == {"yes\u00e9"}
    found = read_csv(tmp_path / "save" / "findings.csv")
    assert {(x["split"], x["effect"]) for x in found} == {("test", "mended")}


def test_characters_that_training_has_not_are_listed(prepare, data, tmp_path):
    path = data / "valid.csv"
    path.write_text(path.read_text().replace("yes", "no"))
    prepare(data, tmp_path / "save")
    found = read_csv(tmp_path / "save" / "findings.csv")
    assert {(x["split"], x["effect"]) for x in found} == {("valid", "kept")}
    assert len(found) == 6
    assert found[0]["got"] == "'n' (U+006E), 'o' (U+006F)"


def test_texts_that_are_too_long_throughout_are_refused(
    prepare, data, tmp_path
):
    path = data / "test.csv"
    path.write_text(path.read_text().replace("yes", "yes" * 51))
    found = broken(data, tmp_path, prepare)
    assert {x["got"] for x in found} == {"151 frames, where CTC needs 153"}
    prepare(data, tmp_path / "save", frame_s=0.02)


@pytest.mark.parametrize("split", SPLITS)
def test_missing_manifest_is_named(prepare, data, tmp_path, split):
    (data / f"{split}.csv").unlink()
    with pytest.raises(UserError, match=rf"{split}.csv does not exist"):
        prepare(data, tmp_path / "save")


def test_language_without_test_data_is_named(prepare, data, tmp_path):
    write_manifest(data / "test.csv", [row("test", "en", 0)])
    with pytest.raises(UserError, match=r"no 'fr' in .*test.csv"):
        prepare(data, tmp_path / "save")
    prepare(data, tmp_path / "save", ["en"], subset=True)


def test_missing_audio_is_named_also_later(prepare, data, tmp_path):
    prepare(data, tmp_path / "save")
    (data / "fr_test_0.wav").unlink()
    with pytest.raises(UserError, match=r"1 of 18 .*exist.*fr_test_0.wav"):
        prepare(data, tmp_path / "save")
    prepare(data, tmp_path / "save", ["en"], subset=True)


def test_real_prompts(prepare, prompts_folder, tmp_path):
    summary = prepare(
        prompts_folder, tmp_path / "save", ["uk", "ru"], subset=True
    )
    assert summary["counts"]["train"] == {"ru": 240, "uk": 297}
    assert summary["minutes"]["train"] == pytest.approx(
        {"ru": 7.7, "uk": 8.3}, abs=0.05
    )
    assert summary["data_root"] == str(prompts_folder.parent.resolve())
