"""Denoising by NMFEnhance: SI-SDR beside spectral subtraction.

The dictionary is learnt on speakers of the digits' train split. Noisy speech
is five digits of one other speaker, with pauses; noises are white, pink and
with the long-term spectrum of speech (all stationary), and babble of eight
readers of the prompts, at 0, 5 and 10 dB. Reported is the mean improvement of
SI-SDR over the noisy signal with its standard error, for NMF without further
choice and for magnitude subtraction; for scale, the mask that an oracle makes
of the true magnitudes. Settings of both come from a search over speakers of
the train split, with dictionary and evaluation on disjoint ones; --tune
repeats its last grid.

Run: python tests/benchmarks/bench_nmf_denoise.py --json out.json
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import nmf_bench  # noqa: F401  first: it fixes the number of threads
import smoke
from nmf_bench.clock import one_thread
from nmf_bench.data import SAMPLE_RATE, find_data
from nmf_denoise.data import mixtures, speech
from nmf_denoise.methods import (
    ATOMS,
    FRAMING,
    SUBTRACTION,
    dictionary,
    oracle,
    si_sdr,
    subtract,
)
from nmf_denoise.tuning import tune

from leanbrain.dataio.digits import DigitSettings, synthesise_digits
from leanbrain.nmf.enhance import NMFEnhance
from leanbrain.provenance import commit, host_facts, versions


def main():
    """Reads the options, measures, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--data_folder", help="with digits/ and prompts/")
    parser.add_argument("--mixtures", type=int, default=10, help="per speaker")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds")
    parser.add_argument("--tune", action="store_true", help="train split only")
    parser.set_defaults(seconds=20)
    options = smoke.read_options(parser, mixtures=1, seconds=1)
    with tempfile.TemporaryDirectory() as folder:
        report(options, tiny(folder) if options.smoke else None)


def tiny(folder):
    """A folder of spoken digits, which read the prompts as well."""
    data = Path(folder)
    digits = synthesise_digits(data, DigitSettings(("en",), 1, 1, 1))
    for name in ("digits", "prompts"):
        (data / name).symlink_to(digits)
    return data


def report(options, data):
    """Prints a table and keeps the figures as JSON."""
    data = data or find_data(options.data_folder)
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
    W = dictionary(speech(data, "train"), ATOMS, options.seconds)
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
        "speech_cost": enhance.speech_cost,
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


if __name__ == "__main__":
    main()
