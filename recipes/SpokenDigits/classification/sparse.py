#!/usr/bin/env python3
"""Sparse from scratch, or pruned from dense: which is better at equal FLOPs?

To run this recipe, do the following:
> python sparse.py suites/sparse.yaml --data_folder <folder of manifests>
> python sparse.py suites/sparse.yaml --data_folder <...> --dry_run
> python sparse.py suites/sparse.yaml --data_folder <...> --debug
> python sparse.py suites/sparse.yaml --data_folder <...> --seeds 1 \
    --methods gradual rigl

FLOPs of training are counted, and the steps of every run chosen so that it
costs as much as a dense model that is pruned. Without --data_folder, digits
are synthesised on the spot. The same command once more goes on where an
interrupted one was. The CSV always has every run of the suite that there is,
whatever part of it a command asks for.
"""

import argparse
import sys
from dataclasses import replace

from readme_tables import csv_text
from sparse_rows import flat_row, read_rows
from sparse_runs import Planner
from sparse_suite import EQUAL, check_seeds, load_suite

from leanbrain._host import user_errors
from leanbrain.checks import UserError, check_int, check_known
from leanbrain.dataio.digits import synthesise_digits
from leanbrain.experiments.backends import LocalPool
from leanbrain.experiments.ledger import Ledger
from leanbrain.experiments.processes import check_alone
from leanbrain.experiments.trials import STATUSES
from leanbrain.files import make_folder, write_text
from leanbrain.pruning.comparison.stages import describe, run_plan


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("suite", help="YAML file: methods, sparsities, seeds, budget")
    add("--data_folder", help="folder of train.csv, valid.csv, test.csv")
    add(
        "--results_folder",
        help="where all goes (default: results/SpokenDigits/sparse)",
    )
    add("--methods", nargs="+", help="some of the suite's, by name")
    add("--seeds", nargs="+", type=int, help="in place of the suite's")
    add("--equal", nargs="+", choices=EQUAL, help="in place of the suite's")
    add("--workers", type=int, help="processes (default: one per core)")
    add(
        "--retry",
        nargs="+",
        default=[],
        choices=[x for x in STATUSES if x != "done"],
        help="run trials again that ended like this",
    )
    add("--dry_run", action="store_true", help="say what it will cost")
    add(
        "--debug",
        action="store_true",
        help="a few steps, one seed: whether it runs",
    )
    return parser.parse_args(arguments)


def make_planner(options):
    """The suite with all that is asked for or has been run, and its data."""
    suite = load_suite(options.suite)
    suite = debug_suite(suite) if options.debug else suite
    names = [method.name for method in suite.methods]
    for name in options.methods or ():
        check_known("methods", name, names)
    options.methods = options.methods or names
    options.seeds = options.seeds or suite.seeds
    options.equal = options.equal or suite.equal
    check_seeds(options.seeds)
    default = "results/SpokenDigits/sparse" + ("-debug" * options.debug)
    root = make_folder(options.results_folder or default)
    before = read_rows(root / f"{suite.name}.csv")
    seeds = [*options.seeds, *(int(row["seed"]) for row in before)]
    equal = [*options.equal, *(row["equal"] for row in before)]
    suite = replace(
        suite,
        seeds=list(dict.fromkeys([*suite.seeds, *seeds])),
        equal=list(dict.fromkeys([*suite.equal, *equal])),
    )
    data = options.data_folder or synthesise_digits(root / "speech")
    return Planner(suite, data, root)


def debug_suite(suite):
    """The same methods, each as long as a few dense steps, with one seed."""
    return replace(
        suite, seeds=suite.seeds[:1], dense_steps=30, pruning_steps=10, epochs=1
    )


def is_wanted(row, options):
    """Whether the command line asks for a row."""
    return (
        row.method in options.methods
        and row.cell.seed in options.seeds
        and row.equal in options.equal
    )


def say_flops(planner):
    """Budget, and the length and cost of every run, before anything runs."""
    print(f"budget: {planner.budget() / 1e9:,.0f} GFLOPs of training")
    print(f"dense step: {planner.dense_step / 1e9:.3f} GFLOPs")
    for equal in planner.suite.equal:
        for method in planner.suite.methods:
            for sparsity in method.sparsities:
                length = planner.length(method, sparsity, equal)
                share = length.step_flops / planner.dense_step
                print(
                    f"equal {equal}: {method.name} at {sparsity:g}: "
                    f"{length.steps} steps of {share:.3f} dense ones, "
                    f"{length.gap:+.1%} of the budget"
                )


def main(arguments):
    """Plans, trains what is missing, writes the CSV."""
    check_alone("sparse.py")
    options = parse(arguments)
    if options.workers is not None:
        check_int("--workers", options.workers, low=0)
    backend = LocalPool(options.workers)
    planner = make_planner(options)
    rows = planner.rows()
    say_flops(planner)
    cells = [row.cell for row in rows if is_wanted(row, options)]
    print(describe(cells, planner.root, backend.workers), flush=True)
    if options.dry_run:
        return
    run_plan(
        cells,
        planner.root,
        backend,
        show=lambda line: print(line, flush=True),
        retry=options.retry,
    )
    results = {
        x["digest"]: x["result"]
        for x in Ledger(planner.root).read()
        if x["status"] == "done"
    }
    found = [flat for row in rows if (flat := flat_row(row, results))]
    if not found:
        raise UserError(
            "At least one run must end well, got none: look at `output.txt` "
            f"of the folders in {planner.root / 'trials'}."
        )
    path = planner.root / f"{planner.suite.name}.csv"
    write_text(path, csv_text(found))
    print(f"{len(found)} of {len(rows)} rows: {path}")


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
