#!/usr/bin/env python3
"""Does the Conformer workload need warm-up? AdamW with and without it.

Trials with and without share their seed: start, batches and all else are the
same. Run: python tests/benchmarks/bench_warmup.py [--json FILE]
"""

import argparse
import dataclasses
import statistics
from pathlib import Path

from smoke import read_options, results_folder

from leanbrain._host import user_errors
from leanbrain.experiments.engine import run_trials
from leanbrain.files import write_json
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.file import load_suite
from leanbrain.optbench.suite.planning import plan_target_search
from leanbrain.provenance import commit, host_facts, versions

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "recipes" / "OptimizerBenchmark" / "suites" / "cpu.yaml"
RATES, WARMUPS, SEEDS = (5e-3, 1e-2), (0.05, 0.0), (1, 2, 3, 4, 5)


def trials():
    """Rates x warm-ups x seeds, on the base workload."""
    suite = load_suite(SUITE, workloads=["conformer_ctc"]).suite
    first = plan_target_search(suite, Costs())[0]
    config = {
        **first.config,
        "kind": "warmup",
        "optimizer": "adamw",
        "optimizer_yaml": suite.specs["adamw"].text,
    }
    return [
        dataclasses.replace(
            first,
            config={
                **config,
                "hyperparameters": {"lr": rate, "warmup": warmup},
                "seed": seed,
            },
        )
        for rate in RATES
        for seed in SEEDS
        for warmup in WARMUPS
    ]


def summary(rows):
    """Per rate: best errors with and without, and who was better."""
    found = {}
    for rate in RATES:
        best = {}
        for row in rows:
            values = row["config"]["hyperparameters"]
            if values["lr"] == rate:
                # One that diverged has learnt nothing.
                value = (row["result"] or {}).get("best")
                value = 100.0 if value is None else value
                best.setdefault(values["warmup"], []).append(value)
        if not best:
            continue
        pairs = list(zip(best[WARMUPS[0]], best[WARMUPS[1]], strict=True))
        found[str(rate)] = {
            "with": best[WARMUPS[0]],
            "without": best[WARMUPS[1]],
            "median_with": statistics.median(best[WARMUPS[0]]),
            "median_without": statistics.median(best[WARMUPS[1]]),
            "better_with": sum(a < b for a, b in pairs),
            "pairs": len(pairs),
        }
    return found


def main():
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json")
    parser.add_argument("--results_folder", default="results/bench/warmup")
    options = read_options(parser, results_folder=None)
    with results_folder(options) as root:
        plan = trials()
        # One rate and seed, with warm-up and without.
        plan = plan[: len(WARMUPS)] if options.smoke else plan
        found = summary(run_trials(plan, root))
    for rate, x in found.items():
        print(
            f"lr {rate}: error {x['median_with']:.1f} % with, "
            f"{x['median_without']:.1f} % without warm-up (medians); better "
            f"with in {x['better_with']} of {x['pairs']}"
        )
    if options.json:
        facts = {"commit": commit(), "versions": versions()}
        write_json(
            options.json, {"rates": found, **facts, "host": host_facts()}
        )


if __name__ == "__main__":
    with user_errors():
        main()
