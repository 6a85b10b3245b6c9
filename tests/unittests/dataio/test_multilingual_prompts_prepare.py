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
            soundfile.write(folder / f"{one['ID']}.wav", np.zeros(80), 8000)
    return folder


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


@pytest.mark.parametrize("change", ["languages", "text", "lost", "summary"])
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
    else:
        (save / "prepare.json").unlink()
    summary = prepare(data, save, languages, subset=True)
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
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
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
        ([], r"`languages` must be a list .*, got \[\]"),
    ],
)
def test_bad_languages_are_named(prepare, data, tmp_path, languages, match):
    with pytest.raises(UserError, match=match):
        prepare(data, tmp_path / "save", languages)
    assert not (tmp_path / "save").exists()


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
    with pytest.raises(UserError, match=r"1 of 18 missing.*fr_test_0.wav"):
        prepare(data, tmp_path / "save")
    prepare(data, tmp_path / "save", ["en"], subset=True)


def test_corrupt_audio_is_named(prepare, data, tmp_path):
    (data / "nl_valid_1.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"nl_valid_1.wav must be readable"):
        prepare(data, tmp_path / "save")


def test_real_prompts(prepare, prompts_folder, tmp_path):
    summary = prepare(
        prompts_folder, tmp_path / "save", ["uk", "ru"], subset=True
    )
    assert summary["counts"]["train"] == {"ru": 240, "uk": 297}
    assert summary["minutes"]["train"] == pytest.approx(
        {"ru": 7.7, "uk": 8.3}, abs=0.05
    )
    assert summary["data_root"] == str(prompts_folder.parent.resolve())
