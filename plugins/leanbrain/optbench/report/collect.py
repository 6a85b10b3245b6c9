"""From the rows of a ledger to the times that are scored; nothing is run.

The time of a trial is its number of steps to the target times what a step of
its optimizer costs on that workload: the number of steps repeats exactly,
seconds of one run on a busy machine do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from leanbrain.optbench.protocol.rules import Rules
from leanbrain.optbench.report.order import mixed_data, unpaired
from leanbrain.optbench.report.outcomes import Outcome, Place, judge
from leanbrain.optbench.report.rows import Row, Selection, select
from leanbrain.optbench.report.step_costs import Cost, collect_costs, references
from leanbrain.optbench.report.waiting import waiting

__all__ = ["Collected", "Times", "collect"]

Times = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Collected:
    """All that a report needs.

    Arguments
    ---------
    rules : Rules
        How it is scored.
    optimizers, workloads : tuple
        Names, sorted.
    variants : dict
        Workload -> names of the variants that were run.
    waiting : tuple[str, ...]
        Workloads, or variants of them, of which the rules ask for variants
        that were not run yet.
    trials : dict
        Place in the plan -> row, None where the ledger has none.
    costs : dict
        Workload -> optimizer -> what a step costs.
    references : dict
        Workload -> the optimizer by whose speed the budget is measured.
    problems : list
        What a reader must know, one sentence each.
    rows : dict
        Kind -> the rows that were used.
    pairs : int
        Groups of trials whose order of data was compared.
    """

    rules: Rules
    optimizers: tuple[str, ...]
    workloads: tuple[str, ...]
    variants: dict[str, tuple[str, ...]]
    waiting: tuple[str, ...]
    trials: dict[Place, Row | None]
    costs: dict[str, dict[str, Cost]]
    references: dict[str, str]
    problems: list[str]
    rows: dict[str, list[Row]]
    pairs: int

    def outcomes(self, percent: float | None = None) -> list[Outcome]:
        """What became of each planned trial.

        Arguments
        ---------
        percent : float | None
            By how much the target is relaxed, in percent of the error; None
            takes what the rules score by.

        Returns
        -------
        list[Outcome]
            Sorted by workload, variant, optimizer, study and trial.
        """
        if percent is None:
            percent = self.rules.target.relaxation_percent
        return [
            judge(
                place,
                row,
                percent=percent,
                step_s=self.step_s(place.workload, place.optimizer),
                budget_s=self.budget_s(place.workload, row),
                by_clock=self.rules.time_unit == "wall",
            )
            for place, row in sorted(self.trials.items(), key=_order)
        ]

    def step_s(self, workload: str, optimizer: str) -> float | None:
        """Calibrated seconds per step; None where there are none."""
        cost = self.costs.get(workload, {}).get(optimizer)
        return None if cost is None else cost.step_s

    def budget_s(self, workload: str, row: Row | None) -> float:
        """Seconds that count for a trial; inf where nothing says so."""
        config = (row or {"config": {}})["config"]
        if config.get("budget_s"):
            return float(config["budget_s"])
        steps = config.get("budget_steps")
        step_s = self.step_s(workload, self.references.get(workload, ""))
        return math.inf if not steps or step_s is None else steps * step_s

    def times(self, percent: float | None = None) -> Times:
        """Seconds to the targets of the workloads themselves.

        Arguments
        ---------
        percent : float | None
            As for `outcomes`.

        Returns
        -------
        dict
            Optimizer -> workload -> [studies, trials]; inf: not reached.
        """
        chosen = [x for x in self.outcomes(percent) if x.place.variant is None]
        return self._arrays(chosen)

    def variant_times(
        self, percent: float | None = None
    ) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """Seconds to the targets of the variants.

        Arguments
        ---------
        percent : float | None
            As for `outcomes`.

        Returns
        -------
        dict
            (workload, variant) -> optimizer -> [studies, trials].
        """
        outcomes = self.outcomes(percent)
        found = {}
        for workload, names in self.variants.items():
            for name in names:
                chosen = [
                    x
                    for x in outcomes
                    if (x.place.workload, x.place.variant) == (workload, name)
                ]
                times = self._arrays(chosen)
                found[workload, name] = {
                    k: times[k][workload] for k in self.optimizers
                }
        return found

    def _arrays(self, outcomes: list[Outcome]) -> Times:
        """Puts seconds into arrays; all of a workload are of one shape."""
        times: Times = {name: {} for name in self.optimizers}
        for workload in self.workloads:
            here = [x for x in outcomes if x.place.workload == workload]
            studies = 1 + max((x.place.study for x in here), default=0)
            trials = 1 + max((x.place.trial for x in here), default=0)
            for name in self.optimizers:
                times[name][workload] = np.full((studies, trials), math.inf)
            for x in here:
                array = times[x.place.optimizer][workload]
                array[x.place.study, x.place.trial] = x.seconds
        return times


def collect(rows: Iterable[Row], rules: Rules) -> Collected:
    """Gathers what a ledger says about optimizers.

    Arguments
    ---------
    rows : Iterable
        Rows of the ledger, in any order.
    rules : Rules
        How they are scored; trials of other rules are left out.

    Returns
    -------
    Collected
        The trials by their place in the plan. What is missing there is not
        reached, and is listed.
    """
    selection = select(rows, rules.label)
    trials, twice = _by_place(selection, rules)
    optimizers = tuple(sorted({x.optimizer for x in trials}))
    # A workload that was calibrated and never trained is a gap, too.
    calibrated = {selection.name(x) for x in selection.rows["calibration"]}
    workloads = tuple(sorted({x.workload for x in trials} | calibrated))
    variants = {
        name: tuple(
            sorted(
                {x.variant for x in trials if x.workload == name and x.variant}
            )
        )
        for name in workloads
    }
    _add_missing(trials, optimizers, workloads, rules)
    costs, uncalibrated = collect_costs(selection, optimizers)
    pairs, odd = unpaired(trials)
    return Collected(
        rules=rules,
        optimizers=optimizers,
        workloads=workloads,
        variants=variants,
        waiting=waiting(selection, variants, rules),
        trials=trials,
        costs=costs,
        references=references(selection, costs, rules.target.optimizers),
        problems=[
            *selection.problems,
            *twice,
            *uncalibrated,
            *odd,
            *mixed_data(trials),
        ],
        rows=selection.rows,
        pairs=pairs,
    )


def _by_place(
    selection: Selection, rules: Rules
) -> tuple[dict[Place, Row | None], list[str]]:
    """Puts rows into the plan; says which have no place in it."""
    trials: dict[Place, Row | None] = {}
    problems = []
    shape = rules.studies, rules.trials_per_study
    for row in selection.rows["score"] + selection.rows["variant"]:
        config = row["config"]
        study, trial = int(config["study"]), int(config["trial"])
        place = Place(
            str(config["optimizer"]),
            selection.name(row),
            config.get("variant"),
            study,
            trial,
        )
        what = f"Study {study}, trial {trial} of {place.optimizer} on "
        what += place.workload
        if place.variant is None and (study >= shape[0] or trial >= shape[1]):
            problems.append(
                f"{what} is beyond the {shape[0]} studies x {shape[1]} trials "
                "of the rules; it was left out."
            )
        elif place in trials:
            # Rows are sorted by digest: the same one is used every time.
            problems.append(
                f"{what} is in the ledger more than once, with different "
                "settings; one of them was used."
            )
        else:
            trials[place] = row
    return trials, problems


def _add_missing(
    trials: dict[Place, Row | None],
    optimizers: Iterable[str],
    workloads: Iterable[str],
    rules: Rules,
) -> None:
    """Adds the trials that were planned and are not in the ledger."""
    places = {x[1:] for x in trials if x.variant is not None}
    places |= {
        (workload, None, study, trial)
        for workload in workloads
        for study in range(rules.studies)
        for trial in range(rules.trials_per_study)
    }
    for optimizer in optimizers:
        for place in places:
            trials.setdefault(Place(optimizer, *place), None)


def _order(item: tuple[Place, Row | None]) -> tuple[str, str, str, int, int]:
    """By workload, variant, optimizer, study, trial."""
    place = item[0]
    return (
        place.workload,
        place.variant or "",
        place.optimizer,
        place.study,
        place.trial,
    )
