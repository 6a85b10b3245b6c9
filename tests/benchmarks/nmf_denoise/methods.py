"""What takes noise out of speech, and by how much it does."""

import torch
from nmf_bench.data import SAMPLE_RATE

from leanbrain.nmf import nmf
from leanbrain.nmf.enhance import NMFEnhance

FRAMING = {"sample_rate": SAMPLE_RATE, "n_fft": 256, "hop_length": 8}
FRAMING["win_length"] = 32
ATOMS = 32
# Of the same search; the noise is estimated from the quietest frames.
SUBTRACTION = {"factor": 2.0, "floor": 0.02, "quiet": 0.2}


def dictionary(speakers, atoms, seconds=20, power=1.0, seed=0):
    """Atoms [F, K] of equally much speech of each speaker."""
    enhance = NMFEnhance(torch.ones(129, 1), **FRAMING)
    size = seconds * SAMPLE_RATE
    signals = [torch.cat(wavs)[:size] for wavs in speakers.values()]
    V = [enhance.framing.analyse(x[None])[0].abs().pow(power) for x in signals]
    generator = torch.Generator().manual_seed(seed)
    V = torch.cat(V).T.contiguous()
    return nmf(V, atoms, max_iter=150, generator=generator)[0]


def subtract(noisy, factor, floor, quiet):
    """Magnitude subtraction (Boll 1979), the noise of the quietest frames."""
    enhance = NMFEnhance(torch.ones(129, 1), **FRAMING)
    spectrum = enhance.framing.analyse(noisy)
    size = spectrum.abs()
    count = max(1, int(quiet * size.shape[1]))
    index = size.square().sum(2).argsort(1)[:, :count]
    index = index.unsqueeze(-1).expand(-1, -1, size.shape[2])
    noise = size.gather(1, index).mean(1, keepdim=True)
    gain = (1 - factor * noise / size.clamp(min=1e-9)).clamp(min=floor)
    return synthesise(enhance, spectrum * gain, noisy)


def oracle(enhance, noisy, clean):
    """Wiener masks of the true magnitudes."""
    mixed = enhance.framing.analyse(noisy)
    target = enhance.framing.analyse(clean).abs().square()
    noise = enhance.framing.analyse(noisy - clean).abs().square()
    mask = target / (target + noise).clamp(min=1e-9)
    return synthesise(enhance, mixed * mask, noisy)


def synthesise(enhance, spectrum, wavs):
    """Waveforms of spectra of full length."""
    counts = torch.full((len(wavs),), spectrum.shape[1])
    return enhance.framing.synthesise(spectrum, counts, wavs)


def si_sdr(found, clean):
    """Scale-invariant signal-to-distortion ratio, dB, [B]."""
    found = (found - found.mean(1, keepdim=True)).double()
    clean = (clean - clean.mean(1, keepdim=True)).double()
    along = (found * clean).sum(1, keepdim=True)
    target = along / clean.square().sum(1, keepdim=True) * clean
    error = (found - target).square().sum(1)
    return 10 * torch.log10(target.square().sum(1) / error)
