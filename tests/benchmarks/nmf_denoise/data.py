"""Speech, noises and mixtures of both at given levels."""

import itertools

import torch
from nmf_bench.data import SAMPLE_RATE

from leanbrain.dataio.audio import load_audio
from leanbrain.dataio.manifests import find_data_root, read_manifest

SNRS_DB = [0, 5, 10]
STATIONARY = {"white": 0.0, "pink": -0.5}  # exponent of frequency
DIGITS = 5


def rows_of(manifest):
    """The rows of a manifest, audio with full paths."""
    return read_manifest(manifest, find_data_root(manifest)).values()


def speech(data, split):
    """Signals by speaker, of mean power one."""
    found = {}
    for row in rows_of(data / "digits" / f"{split}.csv"):
        wav = load_audio(row["wav"], SAMPLE_RATE)
        level = wav.square().mean().sqrt().clamp(min=1e-8)
        found.setdefault(row["spk_id"], []).append(wav / level)
    return found


def mixtures(data, speakers, split, options, seed):
    """(noise, SNR) -> clean and noisy [B, time]."""
    generator = torch.Generator().manual_seed(seed)
    clean = [
        sentence(wavs, options.pause, generator)
        for wavs in speakers.values()
        for _ in range(options.mixtures)
    ]
    time = min(len(x) for x in clean)
    clean = torch.stack([x[:time] for x in clean])
    noises = {
        name: coloured(clean.shape, tilt, generator)
        for name, tilt in STATIONARY.items()
    }
    noises["speech-shaped"] = shaped(clean, generator)
    noises["babble"] = babble(data, split, clean.shape, generator)
    found = {}
    for (name, noise), snr in itertools.product(noises.items(), SNRS_DB):
        level = clean.square().mean(1) / noise.square().mean(1)
        gain = (level * 10 ** (-snr / 10)).sqrt().unsqueeze(1)
        found[name, snr] = clean, clean + gain * noise
    return found


def sentence(wavs, seconds, generator):
    """Digits of a speaker with pauses between and around."""
    pause = torch.zeros(int(seconds * SAMPLE_RATE))
    parts = [pause]
    for i in torch.randperm(len(wavs), generator=generator)[:DIGITS]:
        parts += [wavs[i], pause]
    return torch.cat(parts)


def coloured(shape, tilt, generator):
    """Gaussian noise, amplitude as a power of frequency."""
    spectrum = torch.fft.rfft(torch.randn(shape, generator=generator))
    index = torch.arange(spectrum.shape[1]).clamp(min=shape[1] // 200)
    return torch.fft.irfft(spectrum * index**tilt, shape[1])


def shaped(clean, generator):
    """Gaussian noise with the long-term spectrum of all the speech."""
    level = torch.fft.rfft(clean).abs().square().mean(0)
    width = 2 * (clean.shape[1] // 400) + 1
    level = torch.nn.functional.avg_pool1d(
        level[None], width, 1, width // 2, count_include_pad=False
    )
    noise = torch.randn(clean.shape, generator=generator)
    return torch.fft.irfft(torch.fft.rfft(noise) * level.sqrt(), len(noise[0]))


def babble(data, split, shape, generator, voices=8):
    """Readers of the prompts, of the same split, at equal level."""
    paths = [row["wav"] for row in rows_of(data / "prompts" / f"{split}.csv")]
    pick = torch.randperm(len(paths), generator=generator)[:120]
    wavs = [load_audio(paths[i], SAMPLE_RATE) for i in pick]
    track = torch.cat([x / x.square().mean().sqrt() for x in wavs])
    starts = torch.randint(
        len(track) - shape[1], (shape[0], voices), generator=generator
    )
    cuts = track.unfold(0, shape[1], 1)
    return torch.stack([cuts[row].sum(0) for row in starts])
