"""What a step of each optimizer costs, from the rows of calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.optbench.report.machines import began, is_like, machine
from leanbrain.optbench.report.rows import Row, Selection

__all__ = ["Cost", "collect_costs", "references"]


@dataclass(frozen=True)
class Cost:
    """What a training step costs with one optimizer on one workload.

    Arguments
    ---------
    step_s : float
        Median seconds per step, with a step's part of what the optimizer does
        for evaluations.
    low_s, high_s : float | None
        Quartiles.
    share : float | None
        Seconds of the optimizer alone, as a share of forward and backward.
    state_bytes : float | None
        Bytes of state per parameter.
    overhead : float | None
        What the benchmark itself takes (clock, audit, records), as a share
        of a step; of all optimizers of a workload together.
    kernel : str
        "foreach", "fused" or "for-loop".
    """

    step_s: float
    low_s: float | None = None
    high_s: float | None = None
    share: float | None = None
    state_bytes: float | None = None
    overhead: float | None = None
    kernel: str = ""


def collect_costs(
    selection: Selection, optimizers: Sequence[str]
) -> tuple[dict[str, dict[str, Cost]], list[str]]:
    """Gathers costs, those of a workload from machines of one kind.

    The kind is that of its newest trial, where it was calibrated there, else
    that of its newest calibration. Of several calibrations there the newest
    one that holds every optimizer is used, since seconds are compared best
    within one; only where there is none does each optimizer have its newest.

    Arguments
    ---------
    selection : Selection
        The rows that are compared.
    optimizers : Sequence[str]
        Those that are scored.

    Returns
    -------
    tuple
        Workload -> optimizer -> Cost, with optimizers that only set targets;
        and what a reader must know of what is missing.
    """
    texts = _texts(selection)
    found: dict[str, list[tuple[Row, dict[str, Cost]]]] = {}
    stale: set[tuple[str, str]] = set()
    for row in selection.rows["calibration"]:
        if row["status"] != "done":
            continue
        name, result = selection.name(row), row.get("result") or {}
        known = {}
        for optimizer, measured in (result.get("optimizers") or {}).items():
            text = (row["config"].get("optimizers") or {}).get(optimizer)
            if optimizer in texts and text != texts[optimizer]:
                stale.add((name, optimizer))
                continue
            known[optimizer] = _cost(measured, result)
        if known:
            found.setdefault(name, []).append((row, known))
    costs, mixed = {}, []
    for name, calibrations in sorted(found.items()):
        trials = [
            x
            for x in selection.rows["score"] + selection.rows["variant"]
            if selection.name(x) == name
        ]
        here, where = _on_one_machine(calibrations, trials)
        costs[name] = _pick(here, optimizers)
        mixed += _elsewhere(name, trials, where)
    problems = _problems(selection, costs, stale, optimizers)
    return costs, [*problems, *mixed]


def references(
    selection: Selection,
    costs: Mapping[str, Mapping[str, Cost]],
    setters: Sequence[str],
) -> dict[str, str]:
    """Names the optimizer whose speed makes the budget of each workload.

    Arguments
    ---------
    selection : Selection
        The rows that are compared.
    costs : Mapping
        What `collect_costs` found.
    setters : Sequence[str]
        The optimizers by which the rules have targets set.

    Returns
    -------
    dict
        Workload -> the optimizer that set its target, where the trials name
        it; else the first of `setters` that was calibrated there.
    """
    found: dict[str, str] = {}
    for name, known in costs.items():
        for optimizer in setters:
            if optimizer in known:
                found[name] = optimizer
                break
    for row in selection.rows["target_seed"]:
        if row["config"].get("variant") is None:
            found[selection.name(row)] = str(row["config"]["optimizer"])
    for row in selection.rows["score"]:
        if row["config"].get("reference"):
            found[selection.name(row)] = str(row["config"]["reference"])
    return found


def _texts(selection: Selection) -> dict[str, Any]:
    """The file of each optimizer that is scored."""
    rows = selection.rows["score"] + selection.rows["variant"]
    return {
        x["config"]["optimizer"]: x["config"].get("optimizer_yaml")
        for x in rows
    }


def _cost(measured: Mapping[str, Any], result: Mapping[str, Any]) -> Cost:
    """Reads what a calibration measured of one optimizer."""
    alone = measured.get("optimizer_s")
    forward_backward_s: Any = result.get("forward_backward_s")
    known = alone is not None and forward_backward_s
    return Cost(
        step_s=float(measured["step_s"]),
        low_s=measured.get("low_s"),
        high_s=measured.get("high_s"),
        share=alone / forward_backward_s if known else None,
        state_bytes=measured.get("state_bytes_per_parameter"),
        overhead=result.get("overhead_share"),
        kernel=str(measured.get("kernel") or ""),
    )


Calibrations = Sequence[tuple[Row, Mapping[str, Cost]]]


def _on_one_machine(
    calibrations: Calibrations, trials: Sequence[Row]
) -> tuple[Calibrations, Mapping[str, Any]]:
    """The calibrations of one kind of machine, the newest first."""
    ordered = sorted(calibrations, key=lambda x: began(x[0]), reverse=True)
    scored = [x for x in trials if x["config"]["kind"] == "score"]
    where = machine(max(scored, key=began, default=ordered[0][0]))
    if not any(is_like(machine(x), where) for x, _ in ordered):
        where = machine(ordered[0][0])
    return [x for x in ordered if is_like(machine(x[0]), where)], where


def _pick(
    calibrations: Calibrations, optimizers: Sequence[str]
) -> dict[str, Cost]:
    """The cost of each optimizer; calibrations come with the newest first."""
    known = {name for _, costs in calibrations for name in costs}
    scored = known.intersection(optimizers)
    whole = [costs for _, costs in calibrations if scored <= costs.keys()]
    first = [whole[0]] if whole else []
    return {
        name: next(
            costs[name]
            for costs in [*first, *(x for _, x in calibrations)]
            if name in costs
        )
        for name in sorted(known)
    }


def _elsewhere(
    workload: str, trials: Sequence[Row], where: Mapping[str, Any]
) -> list[str]:
    """Says how many trials ran on other machines than the calibration."""
    odd = sum(not is_like(machine(x), where) for x in trials)
    if not odd:
        return []
    what = "1 trial" if odd == 1 else f"{odd} trials"
    return [
        f"{what} on {workload} ran on another kind of machine than the "
        "calibration there, whose seconds per step are used for all."
    ]


def _problems(
    selection: Selection,
    costs: Mapping[str, Mapping[str, Cost]],
    stale: set[tuple[str, str]],
    optimizers: Sequence[str],
) -> list[str]:
    """Says where seconds do not come from a calibration."""
    sentences = []
    names = {selection.name(x) for x in selection.rows["score"]}
    for workload in sorted(names):
        missing = [x for x in optimizers if x not in costs.get(workload, {})]
        if not missing:
            continue
        old = [x for x in missing if (workload, x) in stale]
        why = " (its file has changed since)" if old == missing else ""
        sentences.append(
            f"{', '.join(missing)} has no calibration on {workload}{why}: its "
            "seconds are those that each trial measured itself."
        )
    return sentences
