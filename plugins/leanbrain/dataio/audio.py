"""Reading audio files: what is wrong with one is said with its name."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from leanbrain.dataio.audio_stream import AudioError, AudioStream

__all__ = ["AudioError", "AudioFacts", "load_audio", "measure"]

StrPath = str | os.PathLike[str]

PEAK = 1.5
"""The highest peak that is taken; lossy formats overshoot 1 a little."""


@dataclass(frozen=True)
class AudioFacts:
    """What an audio file holds, found by reading all of it.

    Arguments
    ---------
    samples : int
        Of each channel.
    sample_rate : int
        In Hz.
    channels : int
        How many.
    peak : float | None
        Largest magnitude; None if a sample is NaN or infinite.
    digest : str
        Hash of the file.
    fault : tuple[str, ...]
        Why it cannot be read, "must ..." and what was got; then nothing else
        counts. Empty if it can.

    Example
    -------
    >>> AudioFacts(8000, 16000, 1, 0.5).seconds
    0.5
    """

    samples: int = 0
    sample_rate: int = 0
    channels: int = 0
    peak: float | None = 0.0
    digest: str = ""
    fault: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasts; 0 if it cannot be read."""
        return self.samples / self.sample_rate if self.sample_rate else 0.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """Why it is of no use: pairs of "must ..." and what was got."""
        if self.fault:
            rule, got = self.fault
            yield rule, got
            return
        if self.channels != 1:
            yield "must be mono", f"{self.channels} channels"
        if self.samples == 0:
            yield "must not be empty", "0 samples"
        elif self.peak is None:
            yield "must hold finite samples", "NaN or infinity"
        elif self.peak > PEAK:
            yield (
                "must hold samples in [-1, 1]",
                f"up to {self.peak:.6g} (at the scale of integers?)",
            )


def measure(path: StrPath) -> AudioFacts:
    """Reads an audio file to its end.

    Arguments
    ---------
    path : path
        The file.

    Returns
    -------
    AudioFacts
        Also for a file that is missing or broken.
    """
    try:
        with AudioStream(path) as stream:
            samples, peak = 0, 0.0
            for block in stream:
                samples += len(block)
                # NaN wins in both.
                peak = float(np.maximum(peak, np.abs(block).max()))
        return AudioFacts(
            samples,
            stream.sample_rate,
            stream.channels,
            peak if math.isfinite(peak) else None,
            _digest(path),
        )
    except AudioError as error:
        return AudioFacts(fault=error.fault)


def load_audio(path: StrPath, sample_rate: int) -> torch.Tensor:
    """Reads an audio file at a sample rate; says which one if it cannot.

    Arguments
    ---------
    path : path
        FLAC, WAV, MP3 or anything else that libsndfile reads; mono.
    sample_rate : int
        In Hz. A file of another rate is resampled (torchaudio's windowed
        sinc), which takes about 4 s of one core for an hour of audio.

    Returns
    -------
    torch.Tensor
        float32 samples [T], in [-1, 1] but for a little overshoot.

    Raises
    ------
    AudioError
        When the file is missing, no audio, cut off, empty, not mono, not
        finite, or not at the scale of [-1, 1].

    Example
    -------
    >>> load_audio("a.flac", 8000)
    Traceback (most recent call last):
    ...
    leanbrain.dataio.audio_stream.AudioError: a.flac must exist, got no file.
    """
    with AudioStream(path) as stream:
        blocks = list(stream) if stream.channels == 1 else []
    samples = np.concatenate([*blocks, np.zeros((0, 1), np.float32)])[:, 0]
    peak = float(np.abs(samples).max(initial=0.0))
    found = AudioFacts(
        samples=len(samples),
        sample_rate=stream.sample_rate,
        channels=stream.channels,
        peak=peak if math.isfinite(peak) else None,
    )
    for rule, got in found.faults():
        raise AudioError.of(path, rule, got)
    result = torch.from_numpy(samples)
    if stream.sample_rate == sample_rate:
        return result
    # Imported late: it is slow, and most corpora are of one rate.
    from torchaudio.functional import resample

    return resample(result, stream.sample_rate, sample_rate)


def _digest(path: StrPath) -> str:
    """A hash of a file's bytes."""
    found = hashlib.blake2b(digest_size=8)
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
