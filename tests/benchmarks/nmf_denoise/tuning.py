"""The grid of settings, on speakers of the train split held out."""

import itertools
import statistics

from leanbrain.nmf.enhance import NMFEnhance
from nmf_denoise.data import mixtures, speech
from nmf_denoise.methods import (
    ATOMS,
    FRAMING,
    SUBTRACTION,
    dictionary,
    si_sdr,
    subtract,
)


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
    base = {"noise_atoms": 8, "speech_cost": 0.15, "quiet": 0.5}
    choices = {
        "noise_atoms": [1, 2, 4, 8, 16],
        "speech_cost": [0.0, 0.05, 0.1, 0.15, 0.2, 0.4],
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
