"""The audio of a corpus: read once, and again only where it has changed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from leanbrain.dataio import audio_survey
from leanbrain.dataio.audio import measure
from leanbrain.dataio.audio_survey import survey


def write(path: Path, seed: int = 0) -> str:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 800)
    soundfile.write(path, samples, 8000, subtype="PCM_16")
    return str(path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []

    def spy(path):
        names.append(Path(path).name)
        return measure(path)

    monkeypatch.setattr(audio_survey, "measure", spy)
    return names


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("LEANBRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_only_what_is_new_or_changed_is_read(tmp_path, read, memory):
    paths = [write(tmp_path / f"{x}.wav") for x in "abc"]
    first = survey([*paths, paths[0]], tmp_path)
    assert first == {path: measure(path) for path in paths}
    assert sorted(read) == ["a.wav", "b.wav", "c.wav"]
    assert survey(paths, tmp_path) == first and len(read) == 3
    # The same size: only its samples, and the time of change, are others.
    write(tmp_path / "b.wav", seed=1)
    paths.append(write(tmp_path / "d.wav"))
    again = survey(paths, tmp_path)
    assert sorted(read[3:]) == ["b.wav", "d.wav"]
    assert again[paths[0]] == first[paths[0]]
    assert again[paths[1]].digest != first[paths[1]].digest


def test_what_is_missing_or_broken_is_a_fact_as_well(tmp_path, read, memory):
    gone, text = str(tmp_path / "gone.wav"), tmp_path / "text.wav"
    text.write_text("no audio")
    loud = str(tmp_path / "nan.wav")
    soundfile.write(loud, np.full(9, np.nan), 8000, subtype="FLOAT")
    for _ in range(2):
        found = survey([gone, str(text), loud], tmp_path)
        rules = [next(found[x].faults())[0] for x in found]
        assert rules == [
            "must exist",
            "must be readable audio",
            "must hold finite samples",
        ]
    # What cannot be read may be readable the next time.
    assert sorted(read) == sorted(["gone.wav", "text.wav"] * 2 + ["nan.wav"])
    write(tmp_path / "gone.wav")
    assert not list(survey([gone], tmp_path)[gone].faults())


def test_a_memory_that_is_broken_is_made_anew(tmp_path, read, memory, caplog):
    path = write(tmp_path / "a.wav")
    survey([path], tmp_path)
    (file,) = memory.iterdir()
    good = file.read_text()
    file.write_text(good[:-9])
    assert survey([path], tmp_path)[path].samples == 800
    assert "All audio is read again" in caplog.text
    file.write_text(json.dumps({"version": 0}))
    survey([path], tmp_path)
    assert len(read) == 3 and file.read_text() == good


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path, read, monkeypatch, caplog
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LEANBRAIN_CACHE", str(tmp_path / "file"))
    path = write(tmp_path / "a.wav")
    assert survey([path], tmp_path)[path].samples == 800
    assert "read again next time" in caplog.text


def test_the_cache_is_where_caches_are(monkeypatch):
    monkeypatch.delenv("LEANBRAIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert audio_survey.cache_folder() == Path("/caches/leanbrain")
    monkeypatch.delenv("XDG_CACHE_HOME")
    home = Path(os.path.expanduser("~"))
    assert audio_survey.cache_folder() == home / ".cache" / "leanbrain"
