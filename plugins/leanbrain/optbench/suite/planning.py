"""From a suite to the trials of each stage; nothing here runs anything.

The stages, in the order in which `leanbrain.optbench.suite.stages` runs them:
target search and target seeds (both only when targets are set), calibration,
score, variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from leanbrain.experiments.trials import Trial
from leanbrain.optbench.suite.cells import (
    Cell,
    Targets,
    common_config,
    make_trial,
    paired_seed,
    target_name,
)
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.points import (
    best_points,
    score_points,
    search_points,
)
from leanbrain.optbench.suite.suite import Suite
from leanbrain.optbench.suite.workload_file import WorkloadFile

__all__ = [
    "plan_calibration",
    "plan_scores",
    "plan_target_search",
    "plan_target_seeds",
    "plan_variants",
]

RUN_CALIBRATION = "leanbrain.optbench.trials.calibration:run"


def plan_target_search(suite: Suite, costs: Costs) -> list[Trial]:
    """Trials that look for the best point of the target-setting optimizers.

    Arguments
    ---------
    suite : Suite
        What is benchmarked; its rules name the optimizers and how many
        points each gets.
    costs : Costs
        For the estimate.

    Returns
    -------
    list[Trial]
        For each workload and variant: points x optimizers.
    """
    rules = suite.rules.target
    points = {x: search_points(suite, x) for x in rules.optimizers}
    return [
        make_trial(
            suite,
            costs,
            Cell("target_search", workload, variant, 0, number),
            name,
            points[name][number],
        )
        for workload, variant in _with_variants(suite.workloads)
        for number in range(rules.points)
        for name in rules.optimizers
    ]


def plan_target_seeds(suite: Suite, costs: Costs, best: Targets) -> list[Trial]:
    """Trials that repeat the best point of each workload with other seeds.

    Arguments
    ---------
    suite : Suite
        What is benchmarked; its rules say how many seeds.
    costs : Costs
        For the estimate.
    best : Mapping
        Name of a target (`target_name`) -> the best point: "optimizer" and
        "hyperparameters".

    Returns
    -------
    list[Trial]
        As many per workload and variant as the rules have seeds.
    """
    trials = []
    for workload, variant in _with_variants(suite.workloads):
        point = best[target_name(workload.path, variant)]
        for number in range(suite.rules.target.seeds):
            cell = Cell("target_seed", workload, variant, 0, number)
            name, values = point["optimizer"], point["hyperparameters"]
            trials.append(make_trial(suite, costs, cell, name, values))
    return trials


def plan_calibration(suite: Suite, names: Sequence[str]) -> list[Trial]:
    """One trial per workload that measures what a step of each costs.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.
    names : Sequence[str]
        The optimizers to measure.

    Returns
    -------
    list[Trial]
        One for each workload.
    """
    texts = {name: suite.specs[name].text for name in names}
    return [
        Trial(
            RUN_CALIBRATION,
            {
                **common_config(suite, workload),
                "kind": "calibration",
                "optimizers": texts,
                "seed": paired_seed("calibration", workload.name),
                "steps": suite.calibration_steps,
            },
            context=suite.context(workload),
        )
        for workload in suite.workloads
    ]


def plan_scores(suite: Suite, costs: Costs, targets: Targets) -> list[Trial]:
    """The trials that are scored: study x trial x workload x optimizer.

    Optimizers are innermost, so that those to be compared run at about the
    same time on the same machine.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.
    costs : Costs
        For the estimate and the limit of time.
    targets : Mapping
        Name of a target -> at least "target" and "optimizer".

    Returns
    -------
    list[Trial]
        All of them.
    """
    rules = suite.rules
    points = {name: score_points(suite, name) for name in suite.optimizers}
    trials = []
    for study in range(rules.studies):
        for number in range(rules.trials_per_study):
            for workload in suite.workloads:
                cell = Cell("score", workload, None, study, number)
                for name in suite.optimizers:
                    point = points[name][study][number]
                    trial = make_trial(
                        suite, costs, cell, name, point, cell.find(targets)
                    )
                    trials.append(trial)
    return trials


def plan_variants(
    suite: Suite,
    costs: Costs,
    targets: Targets,
    rows: Iterable[Mapping[str, Any]],
) -> list[Trial]:
    """One study per variant and optimizer: its best points of the base.

    What was found on the base must hold on a workload that it was not tuned
    for. The study has as many trials as the base has studies, each with the
    point that was best in one of them.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.
    costs : Costs
        For the estimate and the limit of time.
    targets : Mapping
        Name of a target -> at least "target" and "optimizer".
    rows : Iterable[Mapping]
        The ledger's rows of the score trials.

    Returns
    -------
    list[Trial]
        Empty if the rules have no variants.
    """
    if not suite.rules.variants:
        return []
    best = best_points(rows, suite.rules.target.relaxation_percent)
    return [
        make_trial(
            suite,
            costs,
            cell,
            name,
            # One that never ran to its end on the base gets its defaults.
            best.get((cell.workload.path, name, cell.trial), {}),
            cell.find(targets),
        )
        for cell in (
            Cell("variant", workload, variant, 0, number)
            for workload in suite.workloads
            for variant in workload.variants
            for number in range(suite.rules.studies)
        )
        for name in suite.optimizers
    ]


def _with_variants(
    workloads: Sequence[WorkloadFile],
) -> Iterator[tuple[WorkloadFile, str | None]]:
    """Each workload, then each of its variants."""
    for workload in workloads:
        yield workload, None
        for variant in workload.variants:
            yield workload, variant
