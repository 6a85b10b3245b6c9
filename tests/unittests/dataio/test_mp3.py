"""MP3 frames: counted one after the other, whatever a table says."""

import numpy as np
import pytest
import soundfile

from leanbrain.dataio import mp3


@pytest.fixture(params=[8000, 16000, 22050, 32000, 44100, 48000])
def encoded(request, tmp_path):
    """Bytes and samples of a file of each version and rate."""
    rate = request.param
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * rate)
    samples[rate:] *= 0.01  # other bit rates
    soundfile.write(tmp_path / "a.mp3", samples, rate, bitrate_mode="VARIABLE")
    return (tmp_path / "a.mp3").read_bytes(), len(samples)


def test_frames_follow_each_other_to_the_end(encoded):
    data, samples = encoded
    position, total, count = 0, 0, 0
    while position < len(data):
        size, held = mp3._frame(data, position)
        assert size > 0, position
        position, total, count = position + size, total + held, count + 1
    assert position == len(data) and count > 10
    assert mp3.count_samples(data) == total
    assert 0 <= total - samples <= mp3.TOLERANCE


def test_tags_and_damage_are_passed_over(encoded):
    data, _ = encoded
    tag = b"ID3\x04\x00\x00\x00\x00\x01\x00" + b"\xff\xfb\x90\x00" * 32
    assert mp3.start_of_audio(tag + data) == len(tag)
    wanted = mp3.count_samples(data)
    assert mp3.count_samples(tag + data + b"TAG" + bytes(125)) == wanted
    size, held = mp3._frame(data, 0)
    damaged = bytes(size) + data[size:]
    assert mp3.count_samples(damaged) == wanted - held


def test_a_table_is_recognised(encoded):
    data, _ = encoded
    assert mp3.has_table(data)
    assert not mp3.has_table(data[mp3._frame(data, 0)[0] :])


@pytest.mark.parametrize("data", [b"", b"ID3", b"\xff\xfb", b"no mp3" * 99])
def test_what_is_no_mp3_has_no_samples(data):
    assert mp3.count_samples(data) == 0
