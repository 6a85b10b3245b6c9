"""From a suite to the trials of each stage; nothing here runs anything.

The stages, in the order in which `leanbrain.optbench.suite.stages` runs them:
target search and target seeds (both only when targets are set), calibration,
score, variants.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import UserError
from leanbrain.experiments.trials import Trial
from leanbrain.optbench.protocol.search import SearchSpace
from leanbrain.optbench.protocol.targets import relax, steps_to_target
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.suite import Suite, WorkloadFile, code_digest

__all__ = [
    "RUN_CALIBRATION",
    "RUN_DISTRIBUTED",
    "RUN_TRIAL",
    "paired_seed",
    "plan_calibration",
    "plan_scores",
    "plan_target_search",
    "plan_target_seeds",
    "plan_variants",
    "target_name",
]

RUN_TRIAL = "leanbrain.optbench.trials.trial:run"
RUN_DISTRIBUTED = "leanbrain.optbench.trials.distributed:run"
RUN_CALIBRATION = "leanbrain.optbench.trials.calibration:run"

Targets = Mapping[str, Mapping[str, Any]]


def target_name(workload: str, variant: str | None) -> str:
    """The key of a workload, or of its variant, in a file of targets.

    Arguments
    ---------
    workload : str
        Path or name of the workload's YAML.
    variant : str | None
        Name of the variant.

    Returns
    -------
    str
        The key.

    Example
    -------
    >>> target_name("hparams/lstm_ctc.yaml", None)
    'lstm_ctc'
    >>> target_name("hparams/lstm_ctc.yaml", "gelu")
    'lstm_ctc/gelu'
    """
    stem = workload.rpartition("/")[2].removesuffix(".yaml")
    return stem if variant is None else f"{stem}/{variant}"


def paired_seed(*names: Any) -> int:
    """A seed that depends on names alone, the same in every process.

    The name of the optimizer is no part of it: all optimizers of a workload,
    study and trial start from the same weights and see the same batches.

    Arguments
    ---------
    *names : Any
        What the seed is for, such as stage, workload, study and trial.

    Returns
    -------
    int
        In [0, 2**31).

    Example
    -------
    >>> paired_seed("score", "lstm_ctc", 0, 1)
    454434759
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@dataclass(frozen=True)
class _Cell:
    """Where a trial stands in the plan."""

    kind: str
    workload: WorkloadFile
    variant: str | None
    study: int
    trial: int

    @property
    def seed(self) -> int:
        return paired_seed(
            self.kind, self.workload.name, self.variant, self.study, self.trial
        )

    def find(self, targets: Targets) -> Mapping[str, Any]:
        return targets[target_name(self.workload.path, self.variant)]


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
    points = {x: _draw(suite, x, rules.points) for x in rules.optimizers}
    return [
        _trial(
            suite,
            costs,
            _Cell("target_search", workload, variant, 0, number),
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
            cell = _Cell("target_seed", workload, variant, 0, number)
            name, values = point["optimizer"], point["hyperparameters"]
            trials.append(_trial(suite, costs, cell, name, values))
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
                **_common(suite, workload),
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
    points = {name: _score_points(suite, name) for name in suite.optimizers}
    trials = []
    for study in range(rules.studies):
        for number in range(rules.trials_per_study):
            for workload in suite.workloads:
                cell = _Cell("score", workload, None, study, number)
                for name in suite.optimizers:
                    point = points[name][study][number]
                    trial = _trial(
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
    best = _best_points(rows, suite.rules.target.relaxation_percent)
    return [
        _trial(
            suite,
            costs,
            cell,
            name,
            # One that never ran to its end on the base gets its defaults.
            best.get((cell.workload.path, name, cell.trial), {}),
            cell.find(targets),
        )
        for cell in (
            _Cell("variant", workload, variant, 0, number)
            for workload in suite.workloads
            for variant in workload.variants
            for number in range(suite.rules.studies)
        )
        for name in suite.optimizers
    ]


def _best_points(
    rows: Iterable[Mapping[str, Any]], percent: float
) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    """(workload, optimizer, study) -> the point that did best there."""
    best: dict[tuple[str, str, int], tuple[Any, Mapping[str, Any]]] = {}
    for row in rows:
        config, result = row["config"], row.get("result") or {}
        ended_well = row["status"] in ("done", "diverged") and result
        if config.get("kind") != "score" or not ended_well:
            continue
        # First whoever reached what is scored, the soonest; then the closest.
        goal = relax(config["target"], percent)
        steps = steps_to_target(result["curve"], config["metric"], goal)
        numbers = steps, result.get("best")
        merit = [math.inf if x is None else x for x in numbers]
        key = (config["workload"], config["optimizer"], config["study"])
        if key not in best or merit < best[key][0]:
            best[key] = (merit, config["hyperparameters"])
    return {key: point for key, (_, point) in best.items()}


def _with_variants(
    workloads: Sequence[WorkloadFile],
) -> Iterator[tuple[WorkloadFile, str | None]]:
    """Each workload, then each of its variants."""
    for workload in workloads:
        yield workload, None
        for variant in workload.variants:
            yield workload, variant


def _score_points(suite: Suite, name: str) -> list[list[dict[str, Any]]]:
    """The points of an optimizer that are scored, by study and trial."""
    rules, searched = suite.rules, suite.rules.target.points
    studies, trials = rules.studies, rules.trials_per_study
    if rules.tuning == "self":
        # One setting for all: the numbers of the file.
        return [[{}] * trials for _ in range(studies)]
    space = suite.specs[name].space(rules.short_runs)
    if isinstance(space, list):
        # Full points that somebody chose: there are no others.
        return SearchSpace.from_mapping(space).draw(studies, trials)
    # None of those among which the target's own was chosen.
    points = _draw(suite, name, searched + studies * trials)[searched:]
    return [points[i * trials : (i + 1) * trials] for i in range(studies)]


def _draw(suite: Suite, name: str, count: int) -> list[dict[str, Any]]:
    """The first points of an optimizer's quasi-random sequence."""
    space = suite.specs[name].space(suite.rules.short_runs)
    return SearchSpace.from_mapping(space).draw(1, count)[0]


def _common(suite: Suite, workload: WorkloadFile) -> dict[str, Any]:
    """What the configurations of all trials of a workload share."""
    return {
        "rules": suite.rules.label,
        "workload": workload.path,
        "workload_digest": workload.digest,
        "data": suite.data_of(workload),
        "code": code_digest(),
        "threads": suite.threads,
        "processes": suite.processes,
        "device": suite.device,
        "overrides": dict(suite.overrides),
    }


def _trial(
    suite: Suite,
    costs: Costs,
    cell: _Cell,
    name: str,
    point: Mapping[str, Any],
    target: Mapping[str, Any] | None = None,
) -> Trial:
    """One trial of an optimizer; without a target it uses all its steps."""
    workload = cell.workload
    limits = _limits(suite, workload, timed=target is not None)
    config = {
        **_common(suite, workload),
        **limits,
        "kind": cell.kind,
        "variant": cell.variant,
        "optimizer": name,
        "optimizer_yaml": suite.specs[name].text,
        "hyperparameters": dict(point),
        "study": cell.study,
        "trial": cell.trial,
        "seed": cell.seed,
        "total_steps": workload.total_steps,
        "target": None if target is None else target["target"],
        # Whose steps a budget of time is counted in.
        "reference": None if target is None else target["optimizer"],
        "metric": workload.metric,
    }
    cost_s = limits["budget_s"]
    if cost_s is None:
        steps = min(limits["budget_steps"], workload.total_steps)
        cost_s = costs.trial_s(workload.path, name, steps)
    return Trial(
        RUN_TRIAL if suite.processes == 1 else RUN_DISTRIBUTED,
        config,
        context=suite.context(workload),
        cost_s=cost_s,
        timeout_s=costs.timeout_s(cost_s),
    )


def _limits(
    suite: Suite, workload: WorkloadFile, timed: bool
) -> dict[str, Any]:
    """When a trial is evaluated and when it gives up: by steps or seconds."""
    # Targets are set at the horizon itself; a budget is a multiple of it.
    factor = suite.rules.budget_factor if timed else 1.0
    if suite.rules.time_unit != "wall":
        return {
            "budget_steps": math.ceil(factor * workload.total_steps),
            "eval_every_steps": workload.eval_every_steps,
            "budget_s": None,
            "eval_period_s": None,
        }
    if workload.budget_s is None or workload.eval_period_s is None:
        raise UserError(
            f"The workload {workload.path} must have the keys `budget_s` and "
            f"`eval_period_s` under rules that count seconds, which "
            f"{suite.rules.label} are."
        )
    return {
        "budget_steps": None,
        "eval_every_steps": None,
        "budget_s": factor * workload.budget_s,
        "eval_period_s": workload.eval_period_s,
    }
