"""Runs the stages of a benchmark, each on what the ones before it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.experiments.backends import Backend
from leanbrain.experiments.engine import run_trials
from leanbrain.experiments.trials import Trial
from leanbrain.optbench.protocol.targets import (
    check_target_file,
    make_target,
    pick_best_point,
)
from leanbrain.optbench.suite import planning
from leanbrain.optbench.suite.cells import target_name
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.suite import Suite

__all__ = ["Stages", "published_targets", "run_benchmark", "set_targets"]

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Stages:
    """Where and by whom trials are run.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.
    root : path
        The folder of the ledger and of all trials.
    backend : Backend | None
        Who runs them; None: one process per core.
    show : Callable
        Gets lines of progress.
    retry : Sequence[str]
        Statuses that are run again, such as "failed".
    """

    suite: Suite
    root: Path
    backend: Backend | None = None
    show: Callable[[str], None] = print
    retry: Sequence[str] = ()

    def run(self, title: str, trials: Sequence[Trial]) -> Rows:
        """Runs the trials of a stage that have not been run yet."""
        self.show(f"{title}: {len(trials)} trials")
        return run_trials(
            trials,
            self.root,
            self.backend,
            show=self.show,
            retry=self.retry,
        )

    def calibrate(self, names: Sequence[str]) -> tuple[Rows, Costs]:
        """Measures what a step of each optimizer costs."""
        trials = planning.plan_calibration(self.suite, names)
        rows = self.run("calibration", trials)
        for row in rows:
            workload = row["config"]["workload"]
            if row["status"] != "done":
                raise UserError(
                    "The calibration of a workload must succeed, got "
                    f"{row['status']} for {workload}: {row['reason']} (after "
                    f"it is mended: --retry {row['status']})"
                )
            # Its trials will end alike, each with its reason in the ledger.
            for name, reason in row["result"]["errors"].items():
                self.show(f"{name} cannot train {workload}: {reason}")
        every = {x.path: x.eval_every_steps for x in self.suite.workloads}
        return rows, Costs.from_rows(rows, every)


def set_targets(stages: Stages) -> dict[str, dict[str, Any]]:
    """Sets the targets of all workloads and variants by AlgoPerf's rule.

    Several optimizers get the same number of quasi-random points; the best
    point is repeated with other seeds; the target is the median of their
    best validation values (arXiv 2306.07179, section 4.2).

    Arguments
    ---------
    stages : Stages
        Where and by whom trials are run.

    Returns
    -------
    dict
        Name of a target (`cells.target_name`) -> "target" and where it
        comes from; what `targets.write_targets` writes.

    Raises
    ------
    UserError
        If no trial of a workload ended with a finite value.
    """
    suite = stages.suite
    _, costs = stages.calibrate(suite.rules.target.optimizers)
    found = stages.run(
        "target search", planning.plan_target_search(suite, costs)
    )
    best = {
        name: pick_best_point(rows) for name, rows in _by_target(found).items()
    }
    repeats = stages.run(
        "target seeds", planning.plan_target_seeds(suite, costs, best)
    )
    return {
        name: make_target(rows, best[name])
        for name, rows in _by_target(repeats).items()
    }


def run_benchmark(stages: Stages, targets: Mapping[str, Any]) -> Rows:
    """Runs calibration, score trials and variants.

    Arguments
    ---------
    stages : Stages
        Where and by whom trials are run.
    targets : Mapping
        What `set_targets` returned, or was read from a file.

    Returns
    -------
    list
        The rows of all trials.
    """
    suite = stages.suite
    check_target_file(targets, _demands(suite))
    calibration: Rows = []
    costs = Costs()
    # Under rules that count seconds, a step costs what it costs in the trial.
    if suite.rules.time_unit != "wall":
        names = [*suite.optimizers, *(x["optimizer"] for x in targets.values())]
        calibration, costs = stages.calibrate(list(dict.fromkeys(names)))
    scored = stages.run("score", planning.plan_scores(suite, costs, targets))
    variants = planning.plan_variants(suite, costs, targets, scored)
    rows = [*calibration, *scored]
    return rows + stages.run("variants", variants) if variants else rows


def published_targets(suite: Suite) -> dict[str, dict[str, Any]]:
    """The targets that the YAML files of the workloads cite.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.

    Returns
    -------
    dict
        As `set_targets` returns it.

    Raises
    ------
    UserError
        If a workload or variant has none.
    """
    demands = _demands(suite)
    found = {}
    for workload in suite.workloads:
        for variant in (None, *workload.variants):
            key = "base" if variant is None else variant
            if key not in workload.targets:
                raise UserError(
                    f"`targets` of {workload.path} must have {key}, got "
                    f"{list(workload.targets)}."
                )
            name = target_name(workload.path, variant)
            found[name] = {
                **demands[name],
                "target": workload.targets[key],
                "optimizer": suite.rules.target.optimizers[0],
            }
    return found


def _by_target(rows: Rows) -> dict[str, Rows]:
    """Name of a target -> the rows of its trials."""
    groups: dict[str, Rows] = {}
    for row in rows:
        config = row["config"]
        name = target_name(config["workload"], config["variant"])
        groups.setdefault(name, []).append(row)
    return groups


def _demands(suite: Suite) -> dict[str, dict[str, Any]]:
    """Name of a target -> what it must have been set for."""
    return {
        target_name(workload.path, variant): {
            "data": suite.data_of(workload),
            "metric": workload.metric,
            "total_steps": workload.total_steps,
            "workload_digest": workload.digest,
            "overrides": dict(suite.overrides),
        }
        for workload in suite.workloads
        for variant in (None, *workload.variants)
    }
