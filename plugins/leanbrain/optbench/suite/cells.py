"""One trial of a plan: where it stands, its seed, its configuration."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import UserError
from leanbrain.experiments.trials import Trial
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.digests import code_digest
from leanbrain.optbench.suite.suite import Suite
from leanbrain.optbench.suite.workload_file import WorkloadFile

__all__ = [
    "Cell",
    "Targets",
    "common_config",
    "make_trial",
    "paired_seed",
    "target_name",
]

RUN_TRIAL = "leanbrain.optbench.trials.trial:run"
RUN_DISTRIBUTED = "leanbrain.optbench.trials.distributed:run"

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
class Cell:
    """Where a trial stands in the plan."""

    kind: str
    workload: WorkloadFile
    variant: str | None
    study: int
    trial: int

    @property
    def seed(self) -> int:
        """The seed of all optimizers here."""
        return paired_seed(
            self.kind, self.workload.name, self.variant, self.study, self.trial
        )

    def find(self, targets: Targets) -> Mapping[str, Any]:
        """Returns the entry of its target."""
        return targets[target_name(self.workload.path, self.variant)]


def common_config(suite: Suite, workload: WorkloadFile) -> dict[str, Any]:
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


def make_trial(
    suite: Suite,
    costs: Costs,
    cell: Cell,
    name: str,
    point: Mapping[str, Any],
    target: Mapping[str, Any] | None = None,
) -> Trial:
    """One trial of an optimizer; without a target it uses all its steps."""
    workload = cell.workload
    limits = _limits(suite, workload, timed=target is not None)
    config = {
        **common_config(suite, workload),
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
