"""Audio against manifests: each file that does not fit is listed."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio.audio import AudioFacts
from leanbrain.dataio.audio_checks import (
    audio_findings,
    check_audio,
    rate_findings,
    rates_text,
)
from leanbrain.dataio.manifests import find_data_root, read_manifest


def findings(**facts):
    """Effect, rule and what was got of one utterance of a second."""
    row = {"ID": "a", "wav": "/a.wav", "duration": facts.pop("duration", 1.0)}
    found = AudioFacts(**{"samples": 8000, "peak": 0.3, **facts})
    given = {"/a.wav": found}
    return [
        (x.effect.value, x.rule, x.got)
        for x in audio_findings("train", [row], given)
    ]


GOOD = {"sample_rate": 8000, "channels": 1}


def test_what_fits_is_no_finding():
    assert findings(**GOOD) == []
    assert findings(**GOOD, duration=1.09) == []
    assert findings(**GOOD, samples=8000 * 60, duration=62.5) == []


@pytest.mark.parametrize("duration", [1000, 0.001, 0.85, 1.15, 62])
def test_durations_that_are_wrong_are_refused(duration):
    ((effect, rule, got),) = findings(**GOOD, duration=duration)
    assert (effect, rule) == (
        "refused",
        "must last the seconds that its manifest says",
    )
    assert got == f"1.000 s of audio for a duration of {duration:g}"


@pytest.mark.parametrize(
    ("facts", "rule", "got"),
    [
        (
            {"fault": ("must exist", "no file"), "samples": 0},
            "must exist",
            "no file",
        ),
        ({**GOOD, "channels": 2}, "must be mono", "2 channels"),
        ({**GOOD, "samples": 0}, "must not be empty", "0 samples"),
        (
            {**GOOD, "peak": None},
            "must hold finite samples",
            "NaN or infinity",
        ),
        (
            {**GOOD, "peak": 3e4},
            "must hold samples in [-1, 1]",
            "up to 30000 (at the scale of integers?)",
        ),
    ],
)
def test_audio_of_no_use_is_refused(facts, rule, got):
    # Its duration is not compared as well: one finding says enough.
    assert findings(**facts) == [("refused", rule, f"{got} (/a.wav)")]


@pytest.mark.parametrize(
    ("peak", "got"), [(0.0, "silence"), (3e-5, "a peak of 3e-05")]
)
def test_audio_that_is_hardly_there_is_said(peak, got):
    rule = "should reach -60 dB of full scale"
    assert findings(**GOOD, peak=peak) == [("kept", rule, got)]


ROWS = [{"ID": x, "wav": x} for x in "abcd"]
RATES = {
    "a": AudioFacts(9, 8000, 1),
    "b": AudioFacts(9, 16000, 1),
    "c": AudioFacts(9, 48000, 1),
    "d": AudioFacts(9, 16000, 1),
}


def test_what_is_resampled_is_said():
    said = rates_text("test", ROWS, RATES, 8000)
    assert said == (
        "test: 2 at 16000 Hz, 1 at 48000 Hz of 4 files are resampled to "
        "8000 Hz whenever they are read"
    )
    assert rates_text("test", ROWS[:1], RATES, 8000) == ""
    dull = " (those at 8000 Hz hold nothing above 4000 Hz)"
    assert rates_text("test", ROWS[:2], RATES, 16000).endswith(dull)


def test_other_rates_are_refused_where_one_is_asked_for():
    found = list(rate_findings("test", ROWS, RATES, 8000))
    assert [x.name for x in found] == ["b", "c", "d"]
    assert found[1].rule == "must be sampled at 8000 Hz"
    assert found[1].got == "48000 Hz (c)"


def write(path: Path, rate: int = 8000) -> Path:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate // 10)
    soundfile.write(path, noise, rate)
    return path


def rows(*paths: Path) -> dict[str, dict[str, str]]:
    return {str(i): {"wav": str(path)} for i, path in enumerate(paths)}


def test_check_names_the_first_and_how_many(tmp_path):
    good, other = write(tmp_path / "a.wav"), write(tmp_path / "b.wav", 16000)
    check_audio(rows(good, other))
    check_audio(rows(good), 8000)
    with pytest.raises(UserError, match="b.wav must be sampled at 8000 Hz, g"):
        check_audio(rows(good, other), 8000)
    with pytest.raises(UserError, match="c.wav must exist, got no file"):
        check_audio(rows(good, tmp_path / "c.wav"))
    with pytest.raises(UserError, match="2 of 3 audio files .* first: .*c.wav"):
        check_audio(rows(good, tmp_path / "c.wav", tmp_path / "d.wav"))


def test_real_audio_is_sound(prompts_folder):
    manifest = prompts_folder / "valid.csv"
    listed = read_manifest(manifest, find_data_root(manifest))
    start = time.process_time()
    check_audio(listed, 8000)
    # Some 0.3 s; the bound only catches reading files more than once.
    assert time.process_time() - start < 10
