"""Audio files: read exactly, or named with what is wrong."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from leanbrain.checks import UserError
from leanbrain.dataio.audio import (
    AudioError,
    AudioFacts,
    load_audio,
    measure,
)

RATE = 8000


def write(path: Path, seconds: float = 0.5, channels: int = 1) -> Path:
    generator = np.random.default_rng(0)
    shape = (int(seconds * RATE), channels)
    samples = generator.integers(-9000, 9000, shape, dtype=np.int16)
    soundfile.write(
        path, samples.squeeze(1) if channels == 1 else samples, RATE
    )
    return path


@pytest.mark.parametrize("name", ["a.flac", "a.wav"])
def test_samples_are_exact(tmp_path, name):
    path = write(tmp_path / name)
    expected, _ = soundfile.read(path, dtype="int16")
    got = load_audio(path, RATE)
    assert got.dtype == torch.float32 and got.shape == (4000,)
    assert np.array_equal((got.numpy() * 32768).astype(np.int16), expected)


def patched(path: Path, at: int, new: bytes) -> Path:
    """Other bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[at : at + len(new)] = new
    path.write_bytes(content)
    return path


def announce(path: Path, samples: int) -> Path:
    """A FLAC header that says another number of samples, 36 bits long."""
    nibble = path.read_bytes()[21] & 0xF0 | samples >> 32
    low = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return patched(path, 21, bytes([nibble]) + low)


def cut_off(path: Path, subtype: str | None = None) -> None:
    """The first half of a file."""
    soundfile.write(path, NOISE, RATE, subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def twice(path: Path) -> None:
    """Two files in one, as `cat` joins them."""
    soundfile.write(path, np.tile(NOISE, 4), RATE)
    path.write_bytes(path.read_bytes() * 2)


def floats(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 4000)

# Name -> (how the file is made, what is said of it).
BAD = {
    "missing.flac": (lambda path: path, "must exist, got no file"),
    "folder.flac": (lambda path: path.mkdir(), "must exist, got no file"),
    "stereo.flac": (
        lambda path: write(path, channels=2),
        "must be mono, got 2 channels",
    ),
    "text.flac": (
        lambda path: path.write_text("not audio at all " * 9),
        "must be readable audio, got ",
    ),
    "void.flac": (lambda path: path.touch(), "must be readable audio, got "),
    "no_samples.wav": (
        lambda path: floats(path, np.zeros(0)),
        "must not be empty, got 0 samples",
    ),
    "nan.wav": (
        lambda path: floats(path, np.where(NOISE > 0.4, np.nan, NOISE)),
        "must hold finite samples, got NaN or infinity",
    ),
    "inf.wav": (
        lambda path: floats(path, np.where(NOISE > 0.4, -np.inf, NOISE)),
        "must hold finite samples, got NaN or infinity",
    ),
    "int16.wav": (
        lambda path: floats(path, np.round(NOISE / 0.5 * 20000)),
        r"must hold samples in \[-1, 1\], got up to 199\d\d",
    ),
    "announces_more.flac": (
        lambda path: announce(write(path), 4100),
        r"must hold the 4100 samples .* got 4000 \(cut off\?\)",
    ),
    "cut_off.wav": (
        cut_off,
        r"must hold the 8000 bytes .* got 3978 \(cut off\?\)",
    ),
    "cut_off_floats.wav": (
        lambda path: cut_off(path, "FLOAT"),
        r"must hold the 16000 bytes .* got 7960 \(cut off\?\)",
    ),
    "cut_off.aiff": (cut_off, r"must hold the 8008 bytes .* \(cut off\?\)"),
    "cut_off.au": (cut_off, r"must hold the 8000 bytes .* \(cut off\?\)"),
    "joined.flac": (twice, "must hold the 16000 samples .* bytes beyond them"),
    "joined.ogg": (twice, "must hold the 16000 samples .* bytes beyond them"),
    # 240 GiB of float32: to be refused without being allocated.
    "announces_240_gib.flac": (
        lambda path: announce(write(path), 60 << 30),
        r"must hold the 64424509440 samples .* got 4000",
    ),
    "announces_less.flac": (
        lambda path: announce(write(path, seconds=3), 8000),
        "must hold the 8000 samples .* got .* bytes beyond them",
    ),
}


@pytest.mark.parametrize("read", [lambda x: load_audio(x, RATE), measure])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named(tmp_path, name, read):
    make, match = BAD[name]
    path = tmp_path / name
    make(path)
    if read is measure:
        ((rule, got),) = read(path).faults()
        assert re.match(match, f"{rule}, got {got}")
    else:
        with pytest.raises(UserError, match=f"{name} {match}"):
            read(path)


def test_a_float_file_that_overshoots_a_little_is_taken(tmp_path):
    path = floats(tmp_path / "a.wav", NOISE * 2.6)
    assert load_audio(path, RATE).abs().max() > 1.2


def test_a_streamed_flac_is_read_to_its_end(tmp_path):
    """Its header does not know how long it is."""
    path = write(tmp_path / "a.flac", seconds=20)
    expected = load_audio(path, RATE)
    announce(path, 0)
    assert torch.equal(load_audio(path, RATE), expected)
    assert measure(path).samples == len(expected) == 160000


def mp3(path: Path, mode: str = "VARIABLE") -> np.ndarray:
    """Noise and pauses: their bit rates differ much."""
    random = np.random.default_rng(0)
    loud = np.repeat(random.random(32) > 0.5, 4000)
    samples = 0.3 * random.standard_normal(128000) * loud
    with soundfile.SoundFile(
        path,
        "w",
        16000,
        1,
        "MPEG_LAYER_III",
        format="MP3",
        compression_level=0.9,
        bitrate_mode=mode,
    ) as file:
        file.write(samples)
    return samples


def first_frames(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def drop_table(path: Path) -> None:
    data = path.read_bytes()
    if (table := data.find(b"Xing")) >= 0:  # a constant rate has none
        path.write_bytes(data[data.find(data[:2], table) :])


def blank_table(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"Xing", bytes(4), 1))


def drop_table_and_tag(path: Path) -> None:
    drop_table(path)
    tag(path)


def tag(path: Path) -> None:
    """ID3v2, with a size in seven bits a byte, before the audio."""
    head = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)
    path.write_bytes(head + path.read_bytes())


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize(
    "change", [None, drop_table, blank_table, tag, drop_table_and_tag]
)
def test_an_mp3_is_read_to_its_end(tmp_path, mode, change):
    path = tmp_path / "a.mp3"
    samples = mp3(path, mode)
    if change is not None:
        change(path)
    got = load_audio(path, 16000)
    # An encoder begins and ends with silence; only a table says how much.
    assert 0 <= len(got) - len(samples) < 2500
    assert measure(path).samples == len(got)


def test_an_mp3_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "a.mp3"
    mp3(path)
    first_frames(path, 0.5)
    with pytest.raises(UserError, match="must (hold the 128000|be readable)"):
        load_audio(path, 16000)


def test_an_mp3_that_holds_more_than_its_table_says_is_named(tmp_path):
    path = tmp_path / "a.mp3"
    mp3(path)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UserError, match="must hold the 128000 samples .* got"):
        load_audio(path, 16000)


@pytest.mark.parametrize("rate", [16000, 48000, 44100, 4000])
def test_other_rates_are_resampled(tmp_path, rate):
    """A tone keeps its pitch, its level and its length."""
    path = tmp_path / "a.wav"
    time_s = np.arange(2 * rate) / rate
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * time_s), rate)
    got = load_audio(path, RATE)
    assert got.dtype == torch.float32 and got.shape == (2 * RATE,)
    wanted = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(2 * RATE) / RATE)
    middle = slice(800, -800)
    assert torch.allclose(got[middle], wanted[middle], atol=5e-3)


def test_what_lies_above_the_new_band_is_gone(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(32000) * 2.5), 16000)
    assert load_audio(path, RATE)[800:-800].abs().max() < 5e-3


def test_facts_of_a_file(tmp_path):
    path = write(tmp_path / "a.flac")
    facts = measure(path)
    assert facts == AudioFacts(4000, RATE, 1, facts.peak, facts.digest)
    assert facts.peak == pytest.approx(9000 / 32768, rel=0.01)
    assert facts.seconds == 0.5 and not list(facts.faults())
    again = write(tmp_path / "b.flac")
    assert measure(again).digest == facts.digest
    patched(again, again.stat().st_size // 2, b"\x00\x01\x02")
    assert measure(again).digest != facts.digest


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_load_names_a_file_that_is_cut_off(tmp_path, share):
    path = write(tmp_path / "a.flac")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"a.flac must (hold|be readable)"):
        load_audio(path, RATE)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 8002])
def test_a_streamed_wav_is_read_to_its_end(tmp_path, size):
    """Who writes to a pipe cannot know the length; some count padding."""
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, RATE)
    at = path.read_bytes().find(b"data") + 4
    patched(path, at, size.to_bytes(4, "little"))
    assert len(load_audio(path, RATE)) == 4000
    assert not list(measure(path).faults())


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
    sentence = "/nowhere/0.flac must exist, got no file."
    assert str(caught.value) == sentence


def test_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(AudioError("a.wav must be mono.")))
    assert type(error) is AudioError and str(error) == "a.wav must be mono."
