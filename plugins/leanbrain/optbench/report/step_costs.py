"""What a step of each optimizer costs, from the rows of calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from leanbrain.optbench.report.rows import Selection

__all__ = ["Cost", "collect_costs", "references"]


@dataclass(frozen=True)
class Cost:
    """What a training step costs with one optimizer on one workload.

    Arguments
    ---------
    step_s : float
        Median seconds per step.
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
    """Gathers costs; where a workload was calibrated twice, their median.

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
    found: dict[str, dict[str, list[Cost]]] = {}
    stale: set[tuple[str, str]] = set()
    for row in selection.rows["calibration"]:
        if row["status"] != "done":
            continue
        name, result = selection.name(row), row.get("result") or {}
        for optimizer, measured in (result.get("optimizers") or {}).items():
            text = (row["config"].get("optimizers") or {}).get(optimizer)
            if optimizer in texts and text != texts[optimizer]:
                stale.add((name, optimizer))
                continue
            cost = _cost(measured, result)
            found.setdefault(name, {}).setdefault(optimizer, []).append(cost)
    costs = {
        name: {k: _median(x) for k, x in sorted(by.items())}
        for name, by in found.items()
    }
    return costs, _problems(selection, costs, stale, optimizers)


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


def _median(costs: Sequence[Cost]) -> Cost:
    """The median of repeated calibrations, number by number."""

    def middle(name: str) -> Any:
        values = [getattr(x, name) for x in costs]
        values = [x for x in values if x is not None]
        return median(values) if values else None

    names = ("step_s", "low_s", "high_s", "share", "state_bytes", "overhead")
    kernels = sorted({x.kernel for x in costs})
    return Cost(**{k: middle(k) for k in names}, kernel=" / ".join(kernels))


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
