"""What trials will cost, from what steps and evaluations were measured at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Costs"]

START_S = 1.0
"""Guess of building a model and reading its data, per trial."""

PATIENCE = 10.0
"""A trial that takes this many times its estimate hangs."""

LEAST_TIMEOUT_S = 600.0


@dataclass
class Costs:
    """Seconds of trials, from calibration.

    Arguments
    ---------
    step_s : dict
        (workload, optimizer) -> seconds per training step.
    evaluation_s : dict
        Workload -> seconds of an evaluation, per training step.

    Example
    -------
    >>> costs = Costs({("a.yaml", "adamw"): 0.02}, {"a.yaml": 0.005})
    >>> costs.trial_s("a.yaml", "adamw", 200)
    6.0
    >>> costs.trial_s("a.yaml", "lion", 200) is None
    True
    """

    step_s: dict[tuple[str, str], float] = field(default_factory=dict)
    evaluation_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], every_steps: Mapping[str, int]
    ) -> Costs:
        """Reads the costs from the ledger's rows of calibration.

        Arguments
        ---------
        rows : Iterable[Mapping]
            Rows; those that are no finished calibration are left out.
        every_steps : Mapping
            Workload -> steps from evaluation to evaluation.

        Returns
        -------
        Costs
            What was measured.
        """
        costs = cls()
        for row in rows:
            config = row["config"]
            if config.get("kind") != "calibration" or row["status"] != "done":
                continue
            workload, result = config["workload"], row["result"]
            for name, measured in result["optimizers"].items():
                costs.step_s[workload, name] = measured["step_s"]
            every = every_steps[workload]
            costs.evaluation_s[workload] = result["evaluation_s"] / every
        return costs

    def trial_s(self, workload: str, name: str, steps: int) -> float | None:
        """Seconds of a trial that uses its whole budget; None if unknown."""
        step_s = self.step_s.get((workload, name))
        if step_s is None:
            return None
        return START_S + steps * (step_s + self.evaluation_s[workload])

    def timeout_s(self, cost_s: float | None) -> float | None:
        """After how many seconds a trial is taken for hanging."""
        if cost_s is None:
            return None
        return max(LEAST_TIMEOUT_S, PATIENCE * cost_s)
