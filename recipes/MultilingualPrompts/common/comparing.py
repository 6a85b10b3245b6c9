"""What the compare.py of a recipe does: runs a suite and reports on it."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_int
from leanbrain.dataio.manifests import read_manifest
from leanbrain.dataio.synthesis import Settings, synthesise_corpus
from leanbrain.experiments.backends import LocalPool
from leanbrain.experiments.processes import check_alone
from leanbrain.experiments.trials import STATUSES
from leanbrain.files import make_folder
from leanbrain.pruning.comparison.cells import Input, Site
from leanbrain.pruning.comparison.collecting import collect, seeds_in
from leanbrain.pruning.comparison.keeping import keep, merged
from leanbrain.pruning.comparison.method import Steps
from leanbrain.pruning.comparison.plan import make_plan
from leanbrain.pruning.comparison.report import write_report
from leanbrain.pruning.comparison.rows import write_kept
from leanbrain.pruning.comparison.stages import describe, run_plan
from leanbrain.pruning.comparison.suite import Choice
from leanbrain.pruning.comparison.suite_file import load_suite
from leanbrain.shipped import hparams_folder

DEBUG_SPEECH = Settings(train=12, valid=2, test=2)


@dataclass(frozen=True)
class Recipe:
    """What the comparisons of two recipes differ in.

    Arguments
    ---------
    folder : Path
        Of train.py and hparams/.
    results : Path
        Where the folders of comparisons go.
    about : str
        What `--help` says.
    debug : dict
        Keys of all entry files with which a run takes seconds.
    options : dict
        Further words of the command line -> what `add_argument` is given.
    inputs : callable
        Parsed command line -> tuple of Input: what every run is given.
    """

    folder: Path
    results: Path
    about: str
    debug: dict[str, Any]
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: Callable[[argparse.Namespace], tuple[Input, ...]] = (
        lambda options: ()
    )


def parse(recipe, arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=recipe.about,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    add = parser.add_argument
    add("suite", help="YAML file: methods, sparsities, seeds, budget")
    add("--data_folder", help="folder of train.csv, valid.csv, test.csv")
    add(
        "--results_folder",
        help=f"where all goes (default: {recipe.results}/compare-<suite>)",
    )
    add("--methods", nargs="+", help="some of the suite's")
    add("--sparsities", nargs="+", type=float, help="some of the suite's")
    add("--seeds", nargs="+", type=int, help="in place of the suite's")
    add("--workers", type=int, help="processes (default: one per core)")
    add(
        "--retry",
        nargs="+",
        default=[],
        choices=STATUSES,
        help="run trials again that ended like this; with done, those of "
        "--methods, not what they start from",
    )
    add("--dry_run", action="store_true", help="say what it will cost")
    add(
        "--debug",
        action="store_true",
        help="a few steps of small models, one seed: whether it runs",
    )
    add("--only_report", action="store_true", help="run nothing any more")
    add("--keep", help="another folder for compare_<name>.csv and .json")
    add(
        "--merge",
        action="store_true",
        help="with --keep: add to the rows that are there, if they begin with "
        "random weights or with the same dense models",
    )
    add(
        "--force",
        action="store_true",
        help="let --keep lose rows, or replace those of other data",
    )
    for name, settings in recipe.options.items():
        add(name, **settings)
    return parser.parse_args(arguments)


def make_site(recipe, options):
    """Where everything lies, and the suite."""
    name = Path(options.suite).stem + ("-debug" if options.debug else "")
    inputs = recipe.inputs(options)
    root = make_folder(
        options.results_folder or recipe.results / f"compare-{name}"
    )
    speech = DEBUG_SPEECH if options.debug else Settings()
    data = options.data_folder or synthesise_corpus(root / "speech", speech)
    rows = read_manifest(Path(data) / "train.csv").values()
    suite = load_suite(options.suite, sorted({x["lang"] for x in rows}))
    suite = debug_suite(suite, recipe.debug) if options.debug else suite
    places = [hparams_folder("pruning"), Path(data).resolve(), root.resolve()]
    return suite, Site(recipe.folder, *places, inputs)


def debug_suite(suite, debug):
    """The same methods, each for a few steps of a small model."""
    zero_shot = suite.zero_shot
    return replace(
        suite,
        seeds=suite.seeds[:1],
        steps=Steps(1, 40),
        start={**suite.start, **debug, "number_of_epochs": 1}
        | {"batches_per_epoch": 4},
        zero_shot=None if zero_shot is None else {**zero_shot, **debug},
        overrides={**suite.overrides, **debug},
        methods=[
            replace(x, overrides={**x.overrides, **debug})
            for x in suite.methods
        ],
    )


def say_ends(rows):
    """Names runs that broke, and how to run them again."""
    for row in rows:
        if row["status"] != "done":
            print(
                f"trials/{row['digest']} ended as {row['status']}: "
                f"{row['reason']} (again: --retry {row['status']})"
            )


def say_what_builds_on(options, suite):
    """Names methods whose masks are of runs that are run again now."""
    again = set(options.methods or ())
    for method in suite.methods if "done" in options.retry else ():
        source = method.masks_from
        if source and source.method in again and method.name not in again:
            print(
                f"{method.name} starts from masks of {source.method}: run it "
                f"again as well (--methods {method.name} --retry done)"
            )


def report(options, suite, site):
    """Reports on what has been run of the whole suite, then keeps it."""
    asked = [*suite.seeds, *(options.seeds or ())]
    # Seeds that an earlier call asked for have a place in the report as well.
    seeds = list(dict.fromkeys([*asked, *seeds_in(site.root)]))
    cells = make_plan(suite, site, Choice(seeds=seeds))
    text = Path(options.suite).read_text(encoding="utf-8")
    kept = collect(suite, text, cells, site.root)
    if not kept.rows:
        raise UserError(f"A report needs results, got 0 rows in {site.root}.")
    path = write_kept(kept, site.root)
    if options.merge:
        kept = merged(kept, options.keep)
    if options.keep:
        keep(kept, options.keep, force=options.force)
    ran = {x["seed"] for x in kept.rows}
    wanted = [x for x in cells if x.seed in asked or x.seed in ran]
    print(f"{len(kept.rows)} of {len(wanted)} rows: {path}")
    if any(x["sparsity"] for x in kept.rows):
        print(f"report: {write_report(kept, site.root)}")
    else:
        print("report: none yet, it compares sparse models")


def compare(recipe, arguments):
    """Runs the comparison and writes its report.

    Arguments
    ---------
    recipe : Recipe
        Whose runs are compared.
    arguments : list of str
        The words of the command line.
    """
    check_alone("compare.py")
    options = parse(recipe, arguments)
    if options.debug and options.keep:
        raise UserError("`--debug` finds nothing to `--keep`, got both.")
    if options.merge and not options.keep:
        raise UserError("`--merge` must come with --keep, got it alone.")
    workers = options.workers
    if workers is not None:
        check_int("--workers", workers, low=0)
    backend = LocalPool(workers)
    suite, site = make_site(recipe, options)
    choice = Choice(options.methods, options.sparsities, options.seeds)
    cells = make_plan(suite, site, choice)
    if not options.only_report:
        print(describe(cells, site.root, backend.workers), flush=True)
    if options.dry_run:
        return
    if not options.only_report:
        rows = run_plan(
            cells,
            site.root,
            backend,
            show=lambda line: print(line, flush=True),
            retry=options.retry,
        )
        say_ends(rows)
        say_what_builds_on(options, suite)
    report(options, suite, site)
