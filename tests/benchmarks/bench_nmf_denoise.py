"""Denoising by NMFEnhance: SI-SDR beside spectral subtraction.

The dictionary is learnt on speakers of the digits' train split. Noisy speech
is five digits of one other speaker, with pauses; noises are white, pink and
with the long-term spectrum of speech (all stationary), and babble of eight
readers of the prompts, at 0, 5 and 10 dB. Reported is the mean improvement of
SI-SDR over the noisy signal with its standard error, for NMF without further
choice and for magnitude subtraction; for scale, the mask that an oracle makes
of the true magnitudes. Settings of both were chosen by --tune, with
dictionary and evaluation on disjoint speakers of the train split.

Run: python tests/benchmarks/bench_nmf_denoise.py --json out.json
"""

import argparse
import csv
import itertools
import json
import statistics
import time
from pathlib import Path

import nmf_bench  # noqa: F401  first: it fixes the number of threads
import torch
from nmf_bench.clock import one_thread
from nmf_bench.data import SAMPLE_RATE, find_data

from leanbrain.dataio.audio import load_audio
from leanbrain.nmf import nmf
from leanbrain.nmf.enhance import NMFEnhance
from leanbrain.provenance import commit, host_facts, versions

FRAMING = {"sample_rate": SAMPLE_RATE, "n_fft": 256, "hop_length": 8}
FRAMING["win_length"] = 32
SNRS_DB = [0, 5, 10]
STATIONARY = {"white": 0.0, "pink": -0.5}  # exponent of frequency
DIGITS = 5
ATOMS = 32
# Chosen by --tune: noise estimate of the quietest share of frames.
SUBTRACTION = {"factor": 2.0, "floor": 0.02, "quiet": 0.2}


def main():
    """Prints a table and keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--data_folder", help="with digits/ and prompts/")
    parser.add_argument("--mixtures", type=int, default=10, help="per speaker")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds")
    parser.add_argument("--tune", action="store_true", help="train split only")
    options = parser.parse_args()
    data = find_data(options.data_folder)
    if data is None:
        reason = "there is no folder with digits/ and prompts/"
        print(f"skipped: {reason}")
        if options.json:
            skipped = {"benchmark": "nmf_denoise", "skipped": reason}
            Path(options.json).write_text(json.dumps(skipped) + "\n")
        return
    with one_thread():
        if options.tune:
            tune(data, options)
            return
        result = measure(data, options)
    print(table(result))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


def measure(data, options):
    """The figures, of speakers of the test split."""
    W = dictionary(speech(data, "train"), ATOMS)
    cases = mixtures(data, speech(data, "test"), "test", options, seed=0)
    enhance = NMFEnhance(W, **FRAMING)
    methods = {
        "nmf": enhance,
        "subtraction": lambda noisy: subtract(noisy, **SUBTRACTION),
    }
    rows, seconds, audio = {}, dict.fromkeys(methods, 0.0), 0.0
    for (noise, snr), (clean, noisy) in cases.items():
        before = si_sdr(noisy, clean)
        audio += noisy.numel() / SAMPLE_RATE
        rows[f"{noise} {snr}"] = row = {"noisy_db": summary(before)}
        for name, method in methods.items():
            start = time.process_time()
            found = method(noisy)
            seconds[name] += time.process_time() - start
            row[f"{name}_gain_db"] = summary(si_sdr(found, clean) - before)
        found = oracle(enhance, noisy, clean)
        row["oracle_gain_db"] = summary(si_sdr(found, clean) - before)
    return {
        "benchmark": "nmf_denoise",
        "rows": rows,
        "pause_s": options.pause,
        "mixtures_per_speaker": options.mixtures,
        "atoms": ATOMS,
        "l1": enhance.problem.l1,
        "quiet": enhance.quiet,
        "noise_atoms": enhance.noise_atoms,
        "real_time_factor": {k: v / audio for k, v in seconds.items()},
        "subtraction": SUBTRACTION,
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
    }


def summary(values):
    """Mean and standard error."""
    values = values.tolist()
    error = statistics.stdev(values) / len(values) ** 0.5
    return [round(statistics.fmean(values), 3), round(error, 3)]


def table(result):
    """Markdown."""
    lines = [
        "| noise, SNR (dB) | noisy SI-SDR | NMF | subtraction | oracle mask |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["rows"].items():
        cells = [f"{mean:.1f} ± {error:.1f}" for mean, error in row.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def si_sdr(found, clean):
    """Scale-invariant signal-to-distortion ratio, dB, [B]."""
    found = (found - found.mean(1, keepdim=True)).double()
    clean = (clean - clean.mean(1, keepdim=True)).double()
    along = (found * clean).sum(1, keepdim=True)
    target = along / clean.square().sum(1, keepdim=True) * clean
    error = (found - target).square().sum(1)
    return 10 * torch.log10(target.square().sum(1) / error)


def speech(data, split):
    """Signals by speaker, of mean power one."""
    with open(data / "digits" / f"{split}.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {}
    for row in rows:
        path = row["wav"].replace("{data_root}", str(data))
        wav = load_audio(path, SAMPLE_RATE)
        level = wav.square().mean().sqrt().clamp(min=1e-8)
        found.setdefault(row["spk_id"], []).append(wav / level)
    return found


def dictionary(speakers, atoms, seconds=20, power=1.0, seed=0):
    """Atoms [F, K] of equally much speech of each speaker."""
    enhance = NMFEnhance(torch.ones(129, 1), **FRAMING)
    size = seconds * SAMPLE_RATE
    signals = [torch.cat(wavs)[:size] for wavs in speakers.values()]
    V = [enhance._analyse(x[None])[0].abs().pow(power) for x in signals]
    generator = torch.Generator().manual_seed(seed)
    V = torch.cat(V).T.contiguous()
    return nmf(V, atoms, max_iter=150, generator=generator)[0]


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
    with open(data / "prompts" / f"{split}.csv", encoding="utf-8") as stream:
        paths = [row["wav"] for row in csv.DictReader(stream)]
    pick = torch.randperm(len(paths), generator=generator)[:120]
    wavs = [
        load_audio(paths[i].replace("{data_root}", str(data)), SAMPLE_RATE)
        for i in pick
    ]
    track = torch.cat([x / x.square().mean().sqrt() for x in wavs])
    starts = torch.randint(
        len(track) - shape[1], (shape[0], voices), generator=generator
    )
    cuts = track.unfold(0, shape[1], 1)
    return torch.stack([cuts[row].sum(0) for row in starts])


def subtract(noisy, factor, floor, quiet):
    """Magnitude subtraction (Boll 1979), the noise of the quietest frames."""
    enhance = NMFEnhance(torch.ones(129, 1), **FRAMING)
    spectrum = enhance._analyse(noisy)
    size = spectrum.abs()
    count = max(1, int(quiet * size.shape[1]))
    index = size.square().sum(2).argsort(1)[:, :count]
    index = index.unsqueeze(-1).expand(-1, -1, size.shape[2])
    noise = size.gather(1, index).mean(1, keepdim=True)
    gain = (1 - factor * noise / size.clamp(min=1e-9)).clamp(min=floor)
    return synthesise(enhance, spectrum * gain, noisy)


def oracle(enhance, noisy, clean):
    """Wiener masks of the true magnitudes."""
    mixed = enhance._analyse(noisy)
    target = enhance._analyse(clean).abs().square()
    noise = enhance._analyse(noisy - clean).abs().square()
    mask = target / (target + noise).clamp(min=1e-9)
    return synthesise(enhance, mixed * mask, noisy)


def synthesise(enhance, spectrum, wavs):
    """Waveforms of spectra of full length."""
    counts = torch.full((len(wavs),), spectrum.shape[1])
    return enhance._synthesise(spectrum, counts, wavs)


def tune(data, options):
    """Prints the mean gain of settings, on train speakers held out."""
    speakers = speech(data, "train")
    held_out = ["nicolas", "ar07", "ar08", "ar09"]
    known = {k: v for k, v in speakers.items() if k not in held_out}
    others = {k: speakers[k] for k in held_out}
    cases = mixtures(data, others, "valid", options, seed=1)
    grid = itertools.product([1.0, 1.5, 2.0, 3.0], [0.02, 0.1, 0.2], [0.1, 0.2])
    for settings in grid:
        named = dict(zip(SUBTRACTION, settings, strict=True))
        show(f"subtraction {named}", cases, lambda x, s=named: subtract(x, **s))
    base = {"noise_atoms": 8, "l1": 0.15, "quiet": 0.5}
    choices = {
        "noise_atoms": [1, 2, 4, 8, 16],
        "l1": [0.0, 0.05, 0.1, 0.15, 0.2, 0.4],
        "quiet": [0.2, 0.3, 0.5, 1.0],
        "mask_power": [1.0, 2.0, 3.0],
        "spectrum_power": [0.7, 1.0, 1.5],
        "max_iter": [25, 50, 100, 200],
        "atoms": [32, 64, 128],
    }
    for name, values in choices.items():
        for value in values:
            settings = {**base, name: value}
            atoms = settings.pop("atoms", ATOMS)
            power = settings.get("spectrum_power", 1.0)
            W = dictionary(known, atoms, power=power)
            enhance = NMFEnhance(W, **FRAMING, **settings)
            show(f"nmf {name}={value}", cases, enhance)


def show(name, cases, method):
    """The mean gain by noise."""
    gains = {}
    for (noise, _), (clean, noisy) in cases.items():
        gain = si_sdr(method(noisy), clean) - si_sdr(noisy, clean)
        gains.setdefault(noise, []).append(float(gain.mean()))
    means = {k: statistics.fmean(v) for k, v in gains.items()}
    line = " ".join(f"{k} {v:.2f}" for k, v in means.items())
    total = statistics.fmean(means.values())
    print(f"{total:6.2f}  {name}: {line}", flush=True)


if __name__ == "__main__":
    main()
