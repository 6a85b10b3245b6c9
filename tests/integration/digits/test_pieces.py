"""Pooling, frames, shares and speeds of the recipe, against oracles."""

import numpy as np
import pytest
import soundfile
import torch

RATE = 8000


def test_pooling_is_that_of_each_utterance_alone(piece):
    features = piece("features")
    generator = torch.Generator().manual_seed(0)
    frames = torch.tensor([7, 1, 4])
    hidden = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    valid = features.valid_frames(frames, 7)
    hidden[~valid] = torch.nan
    hidden.requires_grad_()
    pooled = features.pool_statistics(hidden, valid)
    pooled.sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert not hidden.grad[~valid].any()
    for row, one, count in zip(pooled, hidden, frames.tolist(), strict=True):
        alone = one[:count].detach().numpy()
        deviation = np.sqrt(alone.var(0) + 1e-6)
        expected = np.concatenate([alone.mean(0), deviation])
        np.testing.assert_allclose(row.detach().numpy(), expected, rtol=1e-10)


def test_frames_do_not_depend_on_the_batch(piece):
    features = piece("features")
    for longest in (8000, 12345):
        samples = torch.arange(80, 8001, 37)
        wavs = torch.zeros(len(samples), longest)
        lens = (samples / longest).float()
        frames = features.count_frames(wavs, lens, 80)
        assert torch.equal(frames, 1 + samples // 80)


def test_shares_are_nested_and_equal_per_digit(piece):
    data = piece("data")
    table = {
        f"u{i}": {"digit": str(i % 10), "duration": 1.0} for i in range(400)
    }
    one = data.share_of(table, 0.05, 1)
    more = data.share_of(table, 0.5, 1)
    counts = [
        sum(r["digit"] == str(d) for r in one.values()) for d in range(10)
    ]
    assert counts == [2] * 10
    assert set(one) < set(more) and len(more) == 200
    assert data.share_of(table, 1.0, 1) == table
    assert set(data.share_of(table, 0.05, 2)) != set(one)
    assert len(data.share_of(table, 1e-9, 1)) == 10


def test_speed_changes_duration_and_pitch(piece, tmp_path):
    data = piece("data")
    path = str(tmp_path / "a.flac")
    soundfile.write(path, np.sin(np.arange(RATE) * 0.5), RATE)
    for speed in (0.9, 1.0, 1.1):
        samples = data.read_audio(path, RATE, speed)
        assert len(samples) == pytest.approx(RATE / speed, abs=1)
        peak = torch.fft.rfft(samples, n=RATE).abs().argmax()
        assert int(peak) == pytest.approx(
            0.5 * speed / (2 * np.pi) * RATE, abs=2
        )
    rows = data.at_speeds({"a": {"duration": 0.9}}, [0.9, 1.0])
    assert list(rows) == ["a@0.9", "a@1"]
    assert rows["a@0.9"]["duration"] == pytest.approx(1.0)
