"""Speed of leanbrain.nmf beside scikit-learn and torchnmf.

One process, one thread, process CPU time; the same V, start and float32 for
all, loss checks and tolerances off, the loss taken in float64 off the clock.
Methods are stopped at an equal gap to the best loss known, never at equal
iterations, and timed in turns. Where it can be, speech is real: see
--data_folder. The figures name 513 x 2000, rank 40: 1024 points, hop 160, of
8 kHz speech. Who stops it and starts it again goes on where it was: what has
been measured lies beside the file of --json until all has.

Run: python tests/benchmarks/bench_nmf.py --json out.json
"""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nmf_bench  # noqa: F401  first: it fixes the number of threads
import smoke
from blas import kernels
from nmf_bench.clock import one_thread
from nmf_bench.resuming import Measurements

from leanbrain.checks import UserError
from leanbrain.provenance import commit, host_facts, versions

TASKS = [("kl", 20), ("kl", 40), ("frobenius", 20), ("frobenius", 40)]
RANK = 40
ALL_PARTS = ["encode", "batch", "learn", "flatness", "gemm", "features"]


def main():
    """Measures all and writes JSON, tables (.md) and a plot (.png) beside."""
    options = read_options()
    try:
        with one_thread():
            result, curves = measure(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    from nmf_bench.tables import counts, markdown

    if options.json:
        write(result, curves, Path(options.json))
        unfinished(options).unlink(missing_ok=True)
    print(markdown(result))
    print(counts(result))
    print("\n".join(kernels()))


def read_options():
    """The settings; --quick overrides what takes long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        help="seeds in which learning is measured with all solvers and peers",
    )
    parser.add_argument(
        "--data_folder",
        help="folder with prompts/ and digits/ (default: LEANBRAIN_DATA, "
        "then shared/data beside the checkout, then synthetic speech)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=ALL_PARTS,
        default=ALL_PARTS,
        help="other parts are kept as they are in the file",
    )
    parser.add_argument(
        "--long_s",
        type=float,
        default=2.0,
        help="CPU seconds after which learning counts as never there",
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=[f"{loss}-{rank}" for loss, rank in TASKS],
        default=[f"{loss}-{rank}" for loss, rank in TASKS],
        help="what is learnt",
    )
    parser.add_argument("--quick", action="store_true", help="three minutes")
    parser.set_defaults(optimum=1000, flat=1000)
    options = smoke.read_options(
        parser, seeds=1, rounds=1, every=0, long_s=0.1, optimum=20, flat=10
    )
    if options.quick:
        options.seeds, options.rounds, options.every = 1, 1, 0
        options.long_s, options.optimum, options.flat = 0.5, 300, 100
    return options


def measure(options):
    """All parts, and the lines of the plot."""
    from nmf_bench import methods
    from nmf_bench.data import (
        SYNTHETIC,
        TINY,
        TINY_DRAW,
        draw,
        find_data,
        splits,
    )

    methods.silence_checks()
    data = find_data(options.data_folder)
    if data is None:
        say("no real speech found: synthetic speech, no digits")
    result = {
        "benchmark": "nmf",
        "settings": {k: v for k, v in vars(options).items() if k in KEPT},
        "data": "prompts" if data else "synthetic",
        "host": host_facts(),
        "versions": {**versions(), **peers()},
        "commits": of_parts(options, commit(__file__)),
        "kernels": of_parts(options, kernels()),
        **{part: {} if part == "learn" else [] for part in options.only},
    }
    measured = Measurements(unfinished(options), facts_of(result), say)
    with tempfile.TemporaryDirectory() as cache:
        paths = splits(data, cache, TINY if options.smoke else SYNTHETIC)
        sizes = TINY_DRAW if options.smoke else {}
        speech = [draw(paths, seed, **sizes) for seed in range(options.seeds)]
    for seed, drawn in enumerate(speech):
        add_parts(result, drawn, data, seed, options, measured)
        if "learn" in options.only:
            add_learning(result, drawn.train, seed, options, measured)
    return result, plotted(speech, options, measured)


def unfinished(options):
    """Where measurements lie until all are there."""
    return options.json and Path(options.json).with_suffix(".unfinished.json")


def facts_of(result):
    """What must not change while a run is interrupted."""
    names = ("settings", "data", "versions", "commits", "kernels")
    return {x: result[x] for x in names} | {"cpu": result["host"]["cpu"]}


def add_parts(result, speech, data, seed, options, measured):
    """What one seed adds to all parts but learning."""
    from nmf_bench import batches, encoding, machine

    V = speech.train
    tasks = {
        "encode": lambda: encoding.frames(speech, seed, options),
        "batch": lambda: batches.measure(speech, seed, options),
        "flatness": lambda: machine.flatness(V, RANK, seed, options),
        "gemm": lambda: machine.gemm(V, RANK, seed, options),
        "features": lambda: features(data, seed, options),
    }
    for part, task in tasks.items():
        if part in options.only:
            record = measured(f"seed {seed}: {part}", task)
            result[part] += [record] if record else []


def add_learning(result, V, seed, options, measured):
    """What one seed adds to learning."""
    from nmf_bench import learning

    for loss, rank in tasks_of(options):
        record = measured(
            f"seed {seed}: learn {loss} {rank}",
            partial(learning.measure, V, rank, loss, seed, options),
        )
        result["learn"].setdefault(f"{loss}-{rank}", []).append(record)


def plotted(speech, options, measured):
    """The lines of the plot, of the first seed."""
    from nmf_bench import learning

    if "learn" not in options.only:
        return {}
    return {
        f"{loss}-{rank}": measured(
            f"lines of {loss} {rank}",
            partial(learning.curves, speech[0].train, rank, loss, 0, options),
        )
        for loss, rank in tasks_of(options)
    }


def tasks_of(options):
    """What is learnt of all that can be."""
    return [x for x in TASKS if f"{x[0]}-{x[1]}" in options.tasks]


KEPT = ("seeds", "rounds", "every", "quick", "long_s", "optimum", "flat")


def features(data, seed, options):
    """The real-time factor, or nothing and the reason."""
    try:
        from nmf_bench.features import measure as measure_features

        if data is None:
            raise UserError("there is no digits training set.")
        limit = 5 if options.smoke else 200 if options.quick else None
        return measure_features(data, seed, limit)
    except (ImportError, UserError) as error:
        say(f"  features not measured: {error}")
        return None


def peers():
    """Versions of the peers."""
    from importlib.metadata import version

    return {name: version(name) for name in ("scikit-learn", "torchnmf")}


def say(text):
    """Progress, with the time of day: not among the results."""
    print(time.strftime("%X"), text, file=sys.stderr, flush=True)


def kept_parts(path, result):
    """Parts of an earlier run that this one leaves out.

    What was learnt is kept task by task, with commit and kernels of each.
    """
    if not path.exists():
        return {}
    old = json.loads(path.read_text(encoding="utf-8"))
    kept = {p: old[p] for p in ALL_PARTS if p in old and p not in result}
    for name in ("commits", "kernels"):
        result[name] = {**old.get(name, {}), **result[name]}
    if "learn" in result:
        result["learn"] = {**old.get("learn", {}), **result["learn"]}
    return kept


def of_parts(options, value):
    """A value for each part, and for each task of learning."""
    parts = [part for part in options.only if part != "learn"]
    if "learn" in options.only:
        parts += [f"learn {task}" for task in options.tasks]
    return dict.fromkeys(parts, value)


def write(result, curves, path):
    """Keeps figures, tables and plot under one name."""
    from nmf_bench.plots import draw as draw_curves
    from nmf_bench.tables import counts, goals, markdown

    path.parent.mkdir(parents=True, exist_ok=True)
    result = {**kept_parts(path, result), **result}
    result["goals"] = goals(result)
    text = json.dumps(result, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    tables = markdown(result) + "\n" + counts(result)
    path.with_suffix(".md").write_text(tables, encoding="utf-8")
    if curves:
        draw_curves(curves, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
