#!/usr/bin/env python3
"""The A/A test: AdamW against AdamW with other points and seeds.

Runs many AdamW trials on the CPU tier, then draws two sets of 3 studies x 3
trials from them, again and again, and counts how often the statistics call
them different. Goal: at most 5 % of 200 comparisons.

Run: python tests/benchmarks/bench_aa.py [--studies 12] [--json FILE]
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
from smoke import read_options, results_folder

from leanbrain._host import user_errors
from leanbrain.files import write_json
from leanbrain.optbench.protocol.target_file import read_targets
from leanbrain.optbench.report.collect import collect
from leanbrain.optbench.statistics.aa import aa_rate
from leanbrain.optbench.suite.debugging import debug_suite
from leanbrain.optbench.suite.file import load_suite
from leanbrain.optbench.suite.stages import Stages, run_benchmark
from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "recipes" / "OptimizerBenchmark" / "suites" / "cpu.yaml"
REPEATS, SEED, GOAL = 200, 0, 0.05


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--results_folder", default="results/bench/aa")
    parser.add_argument("--json")
    return read_options(parser, studies=1, results_folder=None)


def measure(options):
    """Runs the trials; returns the shares."""
    file = load_suite(SUITE, optimizers=[options.optimizer])
    rules = dataclasses.replace(
        file.suite.rules, studies=options.studies, variants=False
    )
    suite = dataclasses.replace(file.suite, rules=rules)
    if options.smoke:
        suite = debug_suite(suite)
    with results_folder(options) as root:
        rows = run_benchmark(
            Stages(suite, root, file.backend), read_targets(file.targets)
        )
    found = collect(rows, rules)
    # Reached at the relaxed target that the rules score by.
    pool = {k: v.ravel() for k, v in found.times()[options.optimizer].items()}
    rng = np.random.default_rng(SEED)
    shares = {"all": aa_rate(pool, rng, repeats=REPEATS)}
    for name, times in pool.items():
        shares[name] = aa_rate({name: times}, rng, repeats=REPEATS)
    return {
        "optimizer": options.optimizer,
        "trials_per_workload": len(next(iter(pool.values()))),
        "reached": {k: float(np.isfinite(v).mean()) for k, v in pool.items()},
        "repeats": REPEATS,
        "called_different": shares,
        "goal": GOAL,
        "seed": SEED,
        "commit": commit(),
        "versions": versions(),
        "host": host_facts(),
    }


def main():
    """Measures, prints, keeps."""
    options = parse()
    figures = measure(options)
    for name, share in figures["called_different"].items():
        print(f"{name}: {share:.1%} of {REPEATS} called different")
    if options.json:
        write_json(options.json, figures)
    reached = figures["called_different"]["all"] <= GOAL
    sys.exit(0 if reached or options.smoke else 1)


if __name__ == "__main__":
    with user_errors():
        main()
