"""The cache of the demo corpus: whole or not there, resumable, repeatable."""

import hashlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio import synthesis
from leanbrain.dataio.corpus import SPEAKERS, Settings
from leanbrain.dataio.manifests import (
    SPLITS,
    check_audio,
    find_data_root,
    load_audio,
    read_manifest,
)
from leanbrain.dataio.synthesis import synthesise_corpus

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="needs the extra `demo` (espeakng-loader)",
)
SETTINGS = Settings(("en", "it"), train=3, valid=1, test=1, seed=7)


def contents(folder: Path) -> dict[str, str]:
    """Returns the digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def make(cache: Path, **changes: object) -> Path:
    return synthesise_corpus(cache, replace(SETTINGS, **changes), False)


class Renderer:
    """Stands in for `render`: counts, and stops before the n-th utterance."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.stop_at = 0, stop_at
        self.real = synthesis.render

    def __call__(self, utterance: synthesis.Utterance) -> np.ndarray:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        return self.real(utterance)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("cache"))


@needs_espeak
def test_manifests_and_audio_fit(corpus):
    root = find_data_root(corpus / "train.csv")
    assert root == corpus.resolve()
    sizes = {}
    for split in SPLITS:
        rows = read_manifest(corpus / f"{split}.csv", root)
        check_audio(rows, 8000)
        sizes[split] = sorted(row["lang"] for row in rows.values())
        assert list(rows) == sorted(rows)
        for row in rows.values():
            samples = load_audio(row["wav"], 8000)
            assert row["duration"] == pytest.approx(len(samples) / 8000, 1e-3)
            assert 0.1 < samples.abs().max() < 0.95
            assert soundfile.info(row["wav"]).subtype == "PCM_16"
    assert sizes == {
        "train": ["en"] * 3 + ["it"] * 3,
        "valid": ["en", "it"],
        "test": ["en", "it"],
    }


@needs_espeak
def test_two_runs_are_bit_equal(corpus, tmp_path):
    assert contents(make(tmp_path)) == contents(corpus)


@needs_espeak
def test_second_call_makes_nothing(corpus, monkeypatch):
    monkeypatch.setattr(synthesis, "is_repeatable", None)
    monkeypatch.setattr(synthesis, "render", None)
    assert make(corpus.parent) == corpus


@needs_espeak
@pytest.mark.parametrize("stop_at", [1, 9])
def test_a_stopped_run_goes_on(corpus, tmp_path, monkeypatch, stop_at):
    with monkeypatch.context() as patch:
        patch.setattr(synthesis, "render", Renderer(stop_at))
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path)
    folder = tmp_path / corpus.name
    assert not any(folder.glob("*.csv"))
    assert not (folder / "corpus.json").exists()
    rest = Renderer()
    monkeypatch.setattr(synthesis, "render", rest)
    assert make(tmp_path) == folder
    assert rest.calls == 10 - stop_at
    assert contents(folder) == contents(corpus)


@needs_espeak
def test_a_damaged_file_of_a_stopped_run_is_made_anew(corpus, tmp_path):
    folder = tmp_path / corpus.name
    # The header of the last one is sound: the end is not there.
    sizes = {"en_train_0000": 0, "en_train_0001": 20, "en_train_0002": -900}
    for name, size in sizes.items():
        damaged = folder / "en" / f"{name}.flac"
        damaged.parent.mkdir(parents=True, exist_ok=True)
        whole = (corpus / "en" / f"{name}.flac").read_bytes()
        damaged.write_bytes(whole[:size])
    assert contents(make(tmp_path)) == contents(corpus)


@needs_espeak
@pytest.mark.parametrize(
    "changes", [{"seed": 8}, {"test": 2}, {"languages": ("en",)}]
)
def test_other_settings_are_another_corpus(corpus, changes):
    other = make(corpus.parent, **changes)
    assert other != corpus
    assert contents(other) != contents(corpus)


@needs_espeak
def test_other_package_version_is_another_corpus(corpus, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    assert make(corpus.parent) != corpus


@needs_espeak
def test_other_voices_are_another_corpus(corpus, monkeypatch):
    monkeypatch.setitem(SPEAKERS, "test", [("m8", 50)])
    other = make(corpus.parent)
    assert other != corpus
    assert "m8p50" in (other / "test.csv").read_text()


@needs_espeak
def test_only_the_bar_is_shown(tmp_path, capfd):
    make(tmp_path)
    assert capfd.readouterr() == ("", "")
    synthesise_corpus(tmp_path, replace(SETTINGS, seed=9), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "synthesising speech" in err and "10/10" in err


@needs_espeak
def test_full_disk_is_named_and_leaves_nothing_half(tmp_path, monkeypatch):
    def full(path, *arguments, **settings):
        Path(path).write_bytes(b"fLaC")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(UserError, match=r"en_train_0000.flac cannot.*space"):
        make(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@needs_espeak
def test_a_library_that_stays_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "is_repeatable", lambda: False)
    with pytest.warns(UserWarning, match="differ in the last bits"):
        make(tmp_path)


def test_missing_package_is_named(tmp_path, monkeypatch):
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(UserError, match=r"pip install 'leanbrain\[demo\]'"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []
