"""Noise at a defined level: which, follows from the utterance's ID alone.

Level of the speech: the root mean square over its active frames, which are
those of 20 ms whose energy is at most 30 dB below that of the loudest one, so
that silence before and after a word does not change the SNR. Level of the
noise: the root mean square over the whole utterance. White noise has equal
power at all frequencies, pink noise a power that falls with 1 / frequency,
babble is the sum of words of several training speakers at equal levels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.dataio.grammars import draw_index
from leanbrain.dataio.rendering import seed_of

FRAME_S = 0.02
ACTIVE_DB = 30.0
TALKERS = 6


def active_rms(speech: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Root mean square over the active frames of an utterance.

    Arguments
    ---------
    speech : torch.Tensor
        Samples [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    torch.Tensor
        A number; zero for silence.
    """
    size = min(round(FRAME_S * sample_rate), len(speech))
    # An incomplete last frame does not count.
    frames = speech[: len(speech) // size * size].reshape(-1, size)
    power = frames.double().square().mean(1)
    active = power >= power.max() * 10 ** (-ACTIVE_DB / 10)
    return power[active].mean().sqrt().to(speech.dtype)


def add_noise(
    speech: torch.Tensor, noise: torch.Tensor, snr_db: float, sample_rate: int
) -> torch.Tensor:
    """Speech with noise at a signal-to-noise ratio.

    Arguments
    ---------
    speech : torch.Tensor
        Samples [time], left as they are.
    noise : torch.Tensor
        Samples [time], of any level but zero.
    snr_db : float
        Level of the speech (`active_rms`) above that of the noise, in dB.
    sample_rate : int
        In Hz.

    Returns
    -------
    torch.Tensor
        Samples [time]; not clipped.
    """
    level = active_rms(speech, sample_rate) * 10 ** (-snr_db / 20)
    return speech + noise * (level / noise.square().mean().sqrt())


def to_level(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """The same sound at one level, so that no front end has to care.

    Arguments
    ---------
    samples : torch.Tensor
        Samples [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    torch.Tensor
        Samples [time] whose active frames have a root mean square of 0.1;
        silence stays silence.
    """
    return samples * (0.1 / active_rms(samples, sample_rate).clamp(min=1e-6))


def white(size: int, generator: torch.Generator) -> torch.Tensor:
    """White Gaussian noise [size]."""
    return torch.randn(size, generator=generator)


def pink(size: int, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise [size] whose power falls with 1 / frequency."""
    spectrum = torch.fft.rfft(torch.randn(size, generator=generator))
    # No constant: it would be heard as nothing and count as noise.
    shape = torch.arange(len(spectrum)).clamp(min=1).rsqrt()
    shape[0] = 0.0
    return torch.fft.irfft(spectrum * shape, n=size)


class Babble:
    """Several people who say training words at once.

    Arguments
    ---------
    rows : Mapping
        ID -> row of the training manifest, with `wav` and `spk_id`.
    load : callable
        Path -> samples [time].
    """

    def __init__(
        self,
        rows: Mapping[str, Mapping[str, Any]],
        load: Callable[[str], torch.Tensor],
    ) -> None:
        self.load = load
        self.words: dict[str, list[str]] = {}
        for _, row in sorted(rows.items()):
            self.words.setdefault(row["spk_id"], []).append(row["wav"])

    def __call__(
        self, size: int, generator: torch.Generator, speaker: str
    ) -> torch.Tensor:
        """Noise [size] in which `speaker` has no part."""
        others = [name for name in self.words if name != speaker]
        if not others:
            raise UserError(
                "babble needs training speakers other than the one it is "
                f"added to, got only {speaker!r}."
            )
        total = torch.zeros(size)
        for _ in range(TALKERS):
            name = others[draw_index(len(others), generator)]
            total += self._talk(name, size, generator)
        return total

    def _talk(
        self, name: str, size: int, generator: torch.Generator
    ) -> torch.Tensor:
        """Words of one speaker one after the other, from a random point."""
        parts, count = [], 0
        paths = self.words[name]
        start = None
        while start is None or count < start + size:
            word = self.load(paths[draw_index(len(paths), generator)])
            if start is None:
                start = draw_index(len(word), generator)
            level = word.square().mean().sqrt().clamp(min=1e-6)
            parts.append(word / level)
            count += len(word)
        return torch.cat(parts)[start : start + size]


class Noises:
    """All test conditions: clean, and each colour at each level.

    Arguments
    ---------
    colours : Sequence[str]
        Some of white, pink, babble.
    snrs_db : Sequence[float]
        Signal-to-noise ratios in dB.
    babble : Babble
        The source of babble.
    sample_rate : int
        In Hz.
    """

    def __init__(
        self,
        colours: Sequence[str],
        snrs_db: Sequence[float],
        babble: Babble,
        sample_rate: int,
    ) -> None:
        self.sample_rate = sample_rate
        known = {
            "white": lambda size, generator, speaker: white(size, generator),
            "pink": lambda size, generator, speaker: pink(size, generator),
            "babble": babble,
        }
        self.conditions: dict[str, Any] = {"clean": None}
        for colour in colours:
            make = known[check_known("noise_colours", colour, known)]
            for snr_db in snrs_db:
                self.conditions[f"{colour}_{snr_db:g}"] = (make, float(snr_db))

    def mix(
        self, condition: str, name: str, speaker: str, speech: torch.Tensor
    ) -> torch.Tensor:
        """An utterance under a condition, the same at every call.

        Arguments
        ---------
        condition : str
            A key of `conditions`, such as "clean" or "pink_10".
        name : str
            ID of the utterance, which alone decides the noise.
        speaker : str
            Who speaks: no part of the babble.
        speech : torch.Tensor
            Samples [time].

        Returns
        -------
        torch.Tensor
            Samples [time].
        """
        if self.conditions[condition] is None:
            return speech
        make, snr_db = self.conditions[condition]
        generator = torch.Generator().manual_seed(seed_of(condition, name))
        noise = make(len(speech), generator, speaker)
        return add_noise(speech, noise, snr_db, self.sample_rate)
