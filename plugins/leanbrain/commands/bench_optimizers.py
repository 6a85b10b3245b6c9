"""Which optimizer trains some speech models first, fairly measured.

  leanbrain bench-optimizers suites/cpu.yaml
  leanbrain bench-optimizers suites/cpu.yaml --optimizers adamw lion my_own.yaml
  leanbrain bench-optimizers suites/cpu.yaml --data_folder <manifests>
  leanbrain bench-optimizers suites/cpu.yaml --set_targets
  leanbrain bench-optimizers suites/cpu.yaml --debug

A suite names workloads, optimizers and rules. The same command once more goes
on where an interrupted one was. Without --data_folder, workloads that have
embedded data train on that.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError, check_int
from leanbrain.experiments.trials import STATUSES

if TYPE_CHECKING:
    from leanbrain.optbench.suite.file import SuiteFile
    from leanbrain.optbench.suite.stages import Stages

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    add = parser.add_argument
    add("suite", help="YAML file: workloads, optimizers, rules, backend")
    add(
        "--results_folder",
        help="where all goes (default: results/OptimizerBenchmark/"
        "<suite>-<embedded or real>)",
    )
    add("--data_folder", help="folder of train.csv and valid.csv")
    add(
        "--optimizers",
        nargs="+",
        help="names of LeanBrain's or YAML files, in place of the suite's",
    )
    add("--workloads", nargs="+", help="some of the suite's")
    add("--workers", type=int, help="processes here, in place of the suite's")
    add(
        "--retry",
        nargs="+",
        default=[],
        choices=[x for x in STATUSES if x != "done"],
        help="run trials again that ended like this",
    )
    add(
        "--overrides",
        default="{}",
        help="mapping of keys of every workload, such as '{batch_size: 8}'",
    )
    add(
        "--set_targets",
        action="store_true",
        help="set the targets anew by the rules (long), in place of the run",
    )
    add(
        "--targets",
        help="file of targets (default: the suite's for this data)",
    )
    add(
        "--debug",
        action="store_true",
        help="one trial of each optimizer and no variants: whether it runs",
    )


def main(options: argparse.Namespace) -> int:
    """Sets targets, or runs the benchmark and writes its report.

    Arguments
    ---------
    options : Namespace
        As `add_arguments` has them.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        If the suite, the data or the targets are missing or wrong.
    """
    from leanbrain.experiments.processes import check_alone

    check_alone("leanbrain bench-optimizers")
    file, stages = _make_stages(options)
    targets = options.targets or file.targets
    started = time.monotonic()
    if options.set_targets:
        _set_targets(stages, targets)
    else:
        _run(file, stages, targets)
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return 0


def _make_stages(options: argparse.Namespace) -> tuple[SuiteFile, Stages]:
    """The suite and the stages that the command line asks for."""
    from leanbrain.experiments.backends import LocalPool
    from leanbrain.files import make_folder
    from leanbrain.optbench.suite.debugging import debug_suite
    from leanbrain.optbench.suite.file import load_suite
    from leanbrain.optbench.suite.stages import Stages
    from leanbrain.optbench.trials.single import read_mapping

    file = load_suite(
        options.suite,
        data_folder=options.data_folder,
        optimizers=options.optimizers,
        workloads=options.workloads,
        overrides=read_mapping("overrides", options.overrides),
    )
    # What is missing of the data is said before all else.
    for workload in file.suite.workloads:
        file.suite.data_of(workload)
    if options.debug and options.set_targets and options.targets is None:
        raise UserError(
            "`--debug` sets targets in a file of its own: `--targets <file>`."
        )
    kind = "embedded" if options.data_folder is None else "real"
    kind += "-debug" if options.debug else ""
    default = f"results/OptimizerBenchmark/{Path(options.suite).stem}-{kind}"
    backend = file.backend
    if options.workers is not None:
        workers = check_int("--workers", options.workers, low=0)
        backend = LocalPool(workers, threads=file.suite.threads)
    stages = Stages(
        suite=debug_suite(file.suite) if options.debug else file.suite,
        root=make_folder(Path(options.results_folder or default).resolve()),
        backend=backend,
        show=lambda line: print(line, flush=True),
        retry=tuple(options.retry),
    )
    return file, stages


def _set_targets(stages: Stages, targets: str | Path | None) -> None:
    """Sets targets and writes them."""
    from leanbrain.optbench.protocol.targets import read_targets, write_targets
    from leanbrain.optbench.suite.stages import set_targets

    if targets is None:
        raise UserError(
            "`--set_targets` needs a file to write: `--targets <file>`."
        )
    found = set_targets(stages)
    # Those of workloads that were left out stay.
    known = read_targets(targets) if Path(targets).is_file() else {}
    write_targets(targets, {**known, **found})
    print(f"targets: {targets}")


def _run(file: SuiteFile, stages: Stages, targets: str | Path | None) -> None:
    """Runs the benchmark and writes its report."""
    from leanbrain.files import write_text
    from leanbrain.optbench.protocol.targets import read_targets
    from leanbrain.optbench.report.writing import write_report
    from leanbrain.optbench.suite.stages import published_targets, run_benchmark

    known = (
        published_targets(file.suite)
        if targets is None
        else read_targets(targets)
    )
    rules = file.rules_file.read_text(encoding="utf-8")
    write_text(stages.root / "rules.yaml", rules)
    _say_ends(run_benchmark(stages, known))
    print(f"report: {write_report(stages.root)}")


def _say_ends(rows: Sequence[Mapping[str, Any]]) -> None:
    """Names trials that broke, and how to run them again."""
    broken = [x for x in rows if x["status"] not in ("done", "diverged")]
    for status in sorted({x["status"] for x in broken}):
        mine = [x for x in broken if x["status"] == status]
        first = mine[0]
        print(
            f"{len(mine)} trials ended as {status}, such as "
            f"{first['config'].get('optimizer')} on "
            f"{first['config']['workload']}: {first['reason']} "
            f"(again: --retry {status})"
        )
