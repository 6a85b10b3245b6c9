"""Audio files: read exactly, or named with what is wrong."""

import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from leanbrain.checks import UserError
from leanbrain.dataio.audio import AudioError, check_audio, load_audio
from leanbrain.dataio.manifests import find_data_root, read_manifest

RATE = 8000


def write(path: Path, seconds: float = 0.5, channels: int = 1) -> Path:
    generator = np.random.default_rng(0)
    shape = (int(seconds * RATE), channels)
    samples = generator.integers(-9000, 9000, shape, dtype=np.int16)
    soundfile.write(
        path, samples.squeeze(1) if channels == 1 else samples, RATE
    )
    return path


def rows(*paths: Path) -> dict[str, dict[str, str]]:
    return {str(i): {"wav": str(path)} for i, path in enumerate(paths)}


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_samples_are_exact(tmp_path, name):
    path = write(tmp_path / name)
    expected, _ = soundfile.read(path, dtype="int16")
    got = load_audio(path, RATE)
    assert got.dtype == torch.float32 and got.shape == (4000,)
    assert np.array_equal((got.numpy() * 32768).astype(np.int16), expected)


def make_bad(folder: Path, kind: str) -> tuple[Path, str]:
    """Returns a file that is wrong, and what is to be said of it."""
    path = folder / f"{kind}.flac"
    if kind == "missing":
        return path, "the audio file must exist, got .*missing.flac"
    if kind == "folder":
        path.mkdir()
        return path, "the audio file must exist, got .*folder.flac"
    if kind == "stereo":
        return write(path, channels=2), "stereo.flac must be mono, got 2 chan"
    if kind == "text":
        path.write_text("not audio at all " * 9)
        return path, "text.flac must be readable audio, got: "
    if kind == "void":
        path.touch()
        return path, "void.flac must be readable audio, got: "
    if kind == "no_samples":
        path = path.with_suffix(".wav")
        soundfile.write(path, np.zeros(0, np.int16), RATE)
        return path, "no_samples.wav must not be empty, got 0 samples"
    assert kind == "rate"
    soundfile.write(path, np.zeros(100), 16000)
    return path, "rate.flac must be sampled at 8000 Hz, got 16000 Hz"


KINDS = "missing folder stereo text void no_samples rate".split()


@pytest.mark.parametrize("kind", KINDS)
def test_load_names_a_bad_file(tmp_path, kind):
    path, match = make_bad(tmp_path, kind)
    with pytest.raises(UserError, match=match):
        load_audio(path, RATE)


@pytest.mark.parametrize("kind", KINDS)
def test_check_names_a_bad_file(tmp_path, kind):
    path, match = make_bad(tmp_path, kind)
    if kind in ("missing", "folder"):
        match = f"must exist, got 1 of 2 missing, the first is .*{kind}.flac"
    good = write(tmp_path / "good.flac")
    check_audio(rows(good), RATE)
    with pytest.raises(UserError, match=match):
        check_audio(rows(good, path), RATE)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_load_names_a_file_that_is_cut_off(tmp_path, share):
    path = write(tmp_path / "a.flac")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"a.flac must (hold|be readable)"):
        load_audio(path, RATE)


def test_load_names_a_file_that_ends_early(tmp_path, monkeypatch):
    # Some decoders return what there is and raise nothing.
    path = write(tmp_path / "a.flac")
    whole = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *a, **k: whole(*a, **k)[:-5]
    )
    with pytest.raises(UserError, match="the 4000 samples .*, got 3995"):
        load_audio(path, RATE)


def test_load_names_a_file_with_damage_inside(tmp_path):
    path = write(tmp_path / "a.flac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.flac must (hold|be readable)"):
        load_audio(path, RATE)


def test_check_counts_what_is_missing(tmp_path):
    good = write(tmp_path / "good.flac")
    gone = [tmp_path / "b.flac", tmp_path / "c.flac"]
    with pytest.raises(UserError, match="2 of 3 missing, the first is .*b.fl"):
        check_audio(rows(good, *gone))


def test_any_rate_passes_when_none_is_asked_for(tmp_path):
    path, _ = make_bad(tmp_path, "rate")
    check_audio(rows(path))


class Dataset(torch.utils.data.Dataset):
    """Reads a file that is not there."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> torch.Tensor:
        return load_audio(f"/nowhere/{index}.flac", RATE)


@pytest.mark.parametrize("workers", [0, 1])
def test_worker_processes_give_the_sentence_only(workers):
    loader = torch.utils.data.DataLoader(Dataset(), num_workers=workers)
    with pytest.raises(UserError) as caught:
        list(loader)
    sentence = "the audio file must exist, got /nowhere/0.flac."
    assert str(caught.value) == sentence


def test_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(AudioError("a.wav must be mono.")))
    assert type(error) is AudioError and str(error) == "a.wav must be mono."


def test_real_audio_is_sound_and_checked_fast(prompts_folder):
    manifest = prompts_folder / "train.csv"
    listed = read_manifest(manifest, find_data_root(manifest))
    start = time.process_time()
    check_audio(listed, RATE)
    # Some 0.2 s; the bound only catches reading whole files.
    assert time.process_time() - start < 5
