"""espeak-ng through ctypes: repeatable speech, and errors by name."""

import _ctypes
import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from leanbrain.checks import UserError
from leanbrain.dataio import espeak
from leanbrain.dataio.espeak import SAMPLE_RATE, synthesise

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="needs the extra `demo` (espeakng-loader)",
)
TEXT = "seven yellow birds"
VARIANTS = ["m1", "m2", "m3", "m4", "f1", "f2", "f3", "f4", "f5", "klatt"]


def median_pitch_hz(samples: np.ndarray) -> float:
    """Oracle: the best autocorrelation lag of each loud frame."""
    pitches = []
    for start in range(0, len(samples) - 1024, 512):
        frame = samples[start : start + 1024].astype(float)
        if frame.std() > 1000:
            lags = np.correlate(frame, frame, "full")[1023:]
            low, high = SAMPLE_RATE // 400, SAMPLE_RATE // 60
            pitches.append(SAMPLE_RATE / (low + lags[low:high].argmax()))
    return float(np.median(pitches))


@needs_espeak
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_was_said_before_does_not_matter(variant):
    first = synthesise(TEXT, "en", variant)
    synthesise("something else", "it", variant, rate=120, pitch=70)
    assert np.array_equal(first, synthesise(TEXT, "en", variant))


@needs_espeak
def test_another_process_says_the_same():
    code = (
        "import hashlib; from leanbrain.dataio.espeak import synthesise;"
        "synthesise('one', 'fr', 'm1');"
        f"a = synthesise({TEXT!r}, 'nl', 'f2', 140, 60);"
        "print(hashlib.sha256(a.tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    here = synthesise(TEXT, "nl", "f2", 140, 60)
    assert other.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@needs_espeak
def test_threads_do_not_mix():
    texts = ["one", "two and three", "four five six", "seven"] * 3
    alone = [synthesise(text, "en", "f2") for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda text: synthesise(text, "en", "f2"), texts)
        for one, other in zip(alone, together, strict=True):
            assert np.array_equal(one, other)


@needs_espeak
@pytest.mark.parametrize("language", ["en", "fr", "it", "nl"])
@pytest.mark.parametrize("variant", ["", "m3", "f4"])
def test_sounds_like_speech(language, variant):
    samples = synthesise(TEXT, language, variant)
    assert samples.dtype == np.int16
    assert 0.8 < len(samples) / SAMPLE_RATE < 2.5
    assert 8000 < np.abs(samples.astype(int)).max() < 32767
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    voiced = power[(hertz > 70) & (hertz < 4000)].sum()
    assert voiced > 0.9 * power.sum()


@needs_espeak
def test_each_setting_is_heard():
    plain = synthesise(TEXT, "en", "f2")
    for other in (
        synthesise("seven yellow bats", "en", "f2"),
        synthesise(TEXT, "nl", "f2"),
        synthesise(TEXT, "en", "f4"),
        synthesise(TEXT, "en", "f2", seed=2),
    ):
        assert not np.array_equal(plain, other)
    slow, fast = (synthesise(TEXT, "en", "m3", rate=r) for r in (120, 240))
    assert 1.4 < len(slow) / len(fast) < 2.5
    low, high = (synthesise(TEXT, "en", "m3", pitch=p) for p in (20, 80))
    assert median_pitch_hz(high) > 1.3 * median_pitch_hz(low)


@needs_espeak
def test_accents_are_understood():
    # Were the text taken for Latin-1, the accent would be two characters.
    samples = {w: synthesise(w, "fr", "m3") for w in ("pâté", "pate")}
    assert len(samples["pâté"]) < 1.5 * len(samples["pate"])
    assert not np.array_equal(samples["pâté"], samples["pate"])


@needs_espeak
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"variant": "f22"}, r"`variant` must be one of .*'f22' \(nearest"),
        ({"language": "martian"}, r"`language` must be known.*'martian\+m3'"),
        ({"rate": 79}, "`rate` must be an integer >= 80, got 79"),
        ({"rate": 451}, "`rate` must be at most 450, got 451"),
        ({"pitch": -1}, "`pitch` must be an integer >= 0, got -1"),
        ({"pitch": 101}, "`pitch` must be at most 100, got 101"),
        ({"seed": 0}, "`seed` must be an integer >= 1, got 0"),
        ({"text": "  "}, "`text` must contain something to say, got '  '"),
    ],
)
def test_bad_arguments_are_named(change, match):
    good = {"text": "yes", "language": "en", "variant": "m3"}
    with pytest.raises(UserError, match=match):
        synthesise(**{**good, **change})


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r"leanbrain\[demo\].*no espeakng_"):
        synthesise("yes", "en", "m3")


@needs_espeak
def test_missing_data_is_named(monkeypatch, tmp_path):
    library, _ = espeak.locate()
    monkeypatch.setattr(espeak, "locate", lambda: (library, str(tmp_path)))
    with pytest.raises(UserError, match="must start with its data folder"):
        synthesise("yes", "en")


@needs_espeak
def test_long_path_of_the_data(monkeypatch, tmp_path):
    expected = synthesise("yes", "en", "m3")
    library, data = espeak.locate()
    deep = tmp_path / ("x" * 200) / "espeak-ng-data"
    deep.parent.mkdir()
    deep.symlink_to(data, target_is_directory=True)
    monkeypatch.setattr(espeak, "locate", lambda: (library, str(deep)))
    assert np.array_equal(synthesise("yes", "en", "m3"), expected)


@needs_espeak
@pytest.mark.skipif(sys.platform == "win32", reason="needs dlclose")
def test_a_library_that_stays_is_noticed():
    assert espeak.is_repeatable()
    held = ctypes.CDLL(espeak.locate()[0])
    try:
        assert not espeak.is_repeatable()
    finally:
        _ctypes.dlclose(held._handle)
    assert espeak.is_repeatable()
