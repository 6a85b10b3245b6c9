"""From a planned utterance to 8 kHz telephone-band audio.

Everything after espeak-ng is computed in float64 and rounded once to 16 bit,
so that the last bit does not depend on how a machine adds up numbers.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio

from leanbrain.checks import check_fraction, check_positive
from leanbrain.dataio.espeak import SAMPLE_RATE as ESPEAK_RATE
from leanbrain.dataio.espeak import synthesise

__all__ = ["SAMPLE_RATE", "Utterance", "finish", "render", "seed_of"]

SAMPLE_RATE = 8000
"""Samples per second of the corpus."""

# espeak-ng itself starts and stops with the first and the last sound.
LEADING_SILENCE_S, TRAILING_SILENCE_S = 0.05, 0.1


@dataclass(frozen=True)
class Utterance:
    """One planned utterance: what is said, by whom and how.

    Arguments
    ---------
    key : str
        Its ID; also seeds its noise.
    split : str
        "train", "valid" or "test".
    language : str
        An espeak-ng language, also the language in the manifest.
    text : str
        Normalised text.
    variant : str
        Voice variant of espeak-ng.
    pitch : int
        0 to 100; variant and pitch together are the speaker.
    rate : int
        Words per minute.
    peak : float
        Largest absolute sample of the speech, 1.0 being full scale.
    snr_db : float
        Level of the speech above that of the background noise, in dB.

    Example
    -------
    >>> Utterance("a", "test", "en", "yes", "m3", 40, 170, 0.5, 30.0).speaker
    'm3p40'
    """

    key: str
    split: str
    language: str
    text: str
    variant: str
    pitch: int
    rate: int
    peak: float
    snr_db: float

    @property
    def speaker(self) -> str:
        """Name of the speaker, the same in all languages."""
        return f"{self.variant}p{self.pitch}"


def render(utterance: Utterance) -> np.ndarray:
    """Speaks an utterance and makes a telephone recording of it.

    Arguments
    ---------
    utterance : Utterance
        What to render.

    Returns
    -------
    np.ndarray
        int16 samples [time] at 8000 Hz.

    Raises
    ------
    UserError
        When espeak-ng is missing or refuses the voice or the text.

    Example
    -------
    >>> said = Utterance("a", "test", "en", "yes", "m3", 40, 170, 0.5, 30.0)
    >>> samples = render(said)
    >>> samples.dtype.name, int(np.abs(samples).max()) // 1000
    ('int16', 16)
    """
    spoken = synthesise(
        utterance.text,
        utterance.language,
        utterance.variant,
        utterance.rate,
        utterance.pitch,
    )
    return finish(
        spoken, utterance.peak, utterance.snr_db, seed_of(utterance.key)
    )


def finish(
    spoken: np.ndarray, peak: float, snr_db: float, seed: int
) -> np.ndarray:
    """Resamples, sets the level and adds background noise.

    Arguments
    ---------
    spoken : np.ndarray
        int16 samples [time] at 22050 Hz.
    peak : float
        Largest absolute sample of the speech, in (0, 0.9]: the rest is room
        for the noise.
    snr_db : float
        Signal-to-noise ratio in dB, > 0; both levels are root mean squares
        over the whole utterance.
    seed : int
        Of the noise.

    Returns
    -------
    np.ndarray
        int16 samples [time] at 8000 Hz.

    Example
    -------
    >>> tone = np.sin(np.arange(22050) / 10) * 9999
    >>> len(finish(tone.astype(np.int16), 0.5, 30.0, seed=1))
    9200
    """
    check_fraction("peak", peak, high=0.9, low_open=True)
    check_positive("snr_db", snr_db)
    speech = _resampler()(torch.from_numpy(spoken / 32768.0))
    speech = torch.nn.functional.pad(
        speech,
        [
            round(seconds * SAMPLE_RATE)
            for seconds in (LEADING_SILENCE_S, TRAILING_SILENCE_S)
        ],
    )
    speech = speech * (peak / speech.abs().max())
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(speech.shape, dtype=torch.float64, generator=generator)
    level = speech.square().mean().sqrt() * 10 ** (-snr_db / 20)
    samples = (speech + level * noise) * 32768.0
    return samples.round().clamp(-32768, 32767).to(torch.int16).numpy()


def seed_of(*parts: object) -> int:
    """Derives the seed of an independent random stream from names.

    Arguments
    ---------
    *parts : object
        Anything with a stable text, for example a seed and a language.

    Returns
    -------
    int
        A number below 2 ** 63.

    Example
    -------
    >>> seed_of(1, "en") == seed_of(1, "fr")
    False
    """
    text = "/".join(str(part) for part in parts)
    return (
        int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    )


@functools.cache
def _resampler() -> torchaudio.transforms.Resample:
    """Returns the 22050 -> 8000 Hz filter, built once, in float64."""
    return torchaudio.transforms.Resample(
        ESPEAK_RATE, SAMPLE_RATE, dtype=torch.float64
    )
