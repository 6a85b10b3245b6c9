#!/usr/bin/env python3
"""The optimizer benchmark itself: how long, how well estimated, how exact.

Runs the CPU tier on the embedded data from nothing, as `make bench-optimizers`
does, and some of its trials a second time. Goals: at most 10 minutes on two
idle cores; the estimate within 25 % of the actual; the harness at most 2 % of a
step; the same steps to the target in every repeat.

Run: python tests/benchmarks/bench_optbench.py [--json FILE]
"""

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from smoke import read_options

from leanbrain._host import user_errors
from leanbrain.experiments.backends import LocalPool
from leanbrain.experiments.engine import run_trials
from leanbrain.experiments.estimates import estimate
from leanbrain.experiments.trials import Trial
from leanbrain.files import write_json, write_text
from leanbrain.optbench.protocol.target_file import read_targets
from leanbrain.optbench.suite.debugging import debug_suite
from leanbrain.optbench.suite.file import load_suite
from leanbrain.optbench.suite.stages import Stages, run_benchmark
from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "recipes" / "OptimizerBenchmark" / "suites" / "cpu.yaml"
REPEATS, SEED = 15, 0


@dataclass(frozen=True)
class Timed(Stages):
    """Notes what each stage was estimated at, and what it took."""

    stages: list = field(default_factory=list)
    plans: dict = field(default_factory=dict)

    def run(self, title, trials):
        """Runs a stage."""
        guess = estimate(trials, self.root, LocalPool().workers)
        started = time.monotonic()
        rows = super().run(title, trials)
        self.stages.append(
            {
                "stage": title,
                "trials": len(trials),
                "estimate_s": guess.seconds if guess.unknown == 0 else None,
                "actual_s": time.monotonic() - started,
            }
        )
        self.plans.update({x.digest: x for x in trials})
        return rows


def repeat(stages, rows):
    """Runs some of the trials again; counts those that differ."""
    done = [
        x
        for x in rows
        if x["status"] == "done" and x["config"]["kind"] == "score"
    ]
    chosen = random.Random(SEED).sample(done, min(REPEATS, len(done)))
    again: list[Trial] = [stages.plans[x["digest"]] for x in chosen]
    with tempfile.TemporaryDirectory() as folder:
        second = run_trials(again, folder, show=None)
    different = 0
    for a, b in zip(chosen, second, strict=True):
        different += steps(a) != steps(b)
    return {"trials": len(chosen), "different": different}


def steps(row):
    """What must be the same in every repeat: all but seconds."""
    result = row["result"]
    curve = [(x["step"], x["valid"]) for x in result["curve"]]
    return result["steps_to_target"], result["best"], curve


def measure(root, smoke):
    """Runs all; returns the figures."""
    file = load_suite(SUITE)
    started = time.monotonic()
    suite = file.suite
    if smoke:
        suite = replace(debug_suite(suite), optimizers=["adamw"])
    stages = Timed(suite, root, file.backend)
    root.mkdir(parents=True)
    rules = file.rules_file.read_text(encoding="utf-8")
    write_text(root / "rules.yaml", rules)
    rows = run_benchmark(stages, read_targets(file.targets))
    minutes = (time.monotonic() - started) / 60
    known = [x for x in stages.stages if x["estimate_s"] is not None]
    ratios = [x["actual_s"] / x["estimate_s"] for x in known]
    total = sum(x["actual_s"] for x in known)
    overhead = {
        x["config"]["workload"]: x["result"]["overhead_share"]
        for x in rows
        if x["config"]["kind"] == "calibration"
    }
    return {
        "minutes": minutes,
        "trials": len(rows),
        "stages": stages.stages,
        "actual_over_estimate": {
            "all": total / sum(x["estimate_s"] for x in known),
            **dict(zip([x["stage"] for x in known], ratios, strict=True)),
        },
        "overhead_share": overhead,
        "repeats": repeat(stages, rows),
        "commit": commit(),
        "versions": versions(),
        "host": host_facts(),
    }


def main():
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json")
    parser.add_argument(
        "--results_folder", help="a new one, to keep (default: a temporary one)"
    )
    options = read_options(parser, results_folder=None)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(options.results_folder or Path(temporary) / "run").resolve()
        if root.exists():
            sys.exit(f"error: {root} exists; a run from nothing is measured.")
        figures = measure(root, options.smoke)
    ratio = figures["actual_over_estimate"]["all"]
    print(f"{figures['minutes']:.1f} minutes (goal: 10)")
    print(f"actual / estimate: {ratio:.2f} (goal: 0.75 to 1.25)")
    for name, share in figures["overhead_share"].items():
        print(f"harness, {name}: {share:.2%} of a step (goal: 2 %)")
    print("{different} of {trials} repeats differ".format(**figures["repeats"]))
    if options.json:
        write_json(options.json, figures)
    met = (
        figures["minutes"] <= 10
        and 0.75 <= ratio <= 1.25
        and max(figures["overhead_share"].values()) <= 0.02
        and figures["repeats"]["different"] == 0
    )
    sys.exit(0 if met or options.smoke else 1)


if __name__ == "__main__":
    with user_errors():
        main()
