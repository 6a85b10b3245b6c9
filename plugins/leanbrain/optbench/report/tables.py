"""The tables of a report, as cells of text; the header is the first row."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from leanbrain.optbench.report.findings import Findings
from leanbrain.optbench.report.outcomes import Outcome
from leanbrain.optbench.report.ratios import bound_of, ratio_of, span_of
from leanbrain.text import number

__all__ = [
    "Table",
    "costs",
    "differences",
    "ends",
    "flagged",
    "ranks",
    "relaxed",
    "scores",
    "times",
    "variants",
]

Table = list[list[str]]


def scores(found: Findings) -> Table:
    """One line per optimizer: score, rank, speed-up, with their intervals."""
    percent = f"{100 * found.confidence:.0f} %"
    alone = ", without variants" if found.data.rules.variants else ""
    rows = [
        [
            "optimizer",
            "score",
            f"{percent} interval",
            "rank",
            f"{percent} interval",
            f"speed-up over {found.reference}{alone}",
            f"score against {found.reference}{alone}",
            f"targets reached{alone}",
        ]
    ]
    for name in found.order:
        one = found.scores[name]
        rows.append(
            [
                name,
                f"{one.score:.3f}",
                f"{one.low:.2f} to {one.high:.2f}",
                f"{one.rank}",
                f"{one.rank_low} to {one.rank_high}",
                number(found.speedups[name]),
                f"{found.reference_scores[name]:.3f}",
                f"{found.reached(name)} of {len(found.data.workloads)}",
            ]
        )
    return rows


def times(found: Findings) -> Table:
    """One line per optimizer: seconds to the target of each workload."""
    rows = [["optimizer", *(f"{x} (s)" for x in found.data.workloads)]]
    for name in found.order:
        cells = []
        for workload in found.data.workloads:
            seconds = found.seconds[name][workload]
            text = number(seconds) if math.isfinite(seconds) else "not reached"
            if (name, workload) in found.refused:
                text += " (does not count)"
            cells.append(text)
        rows.append([name, *cells])
    return rows


def differences(found: Findings) -> Table:
    """One line per optimizer: how its time compares with the reference's.

    Of the workloads themselves, without their variants.
    """
    percent = f"{100 * found.confidence:.0f} %"
    header = ["optimizer", f"time / time of {found.reference}"]
    rows = [[*header, f"{percent} interval", "verdict"]]
    for name in found.order:
        if name in found.versus:
            one = found.versus[name]
            words = ", ".join(x for x in (one.verdict, bound_of(one)) if x)
            rows.append([name, ratio_of(one), span_of(one), words])
    return rows


def ranks(found: Findings) -> Table:
    """Ranks by steps and by seconds: who pays for its steps."""
    rows = [["optimizer", "rank by steps", "rank by seconds", "places lost"]]
    for name in found.order:
        steps, seconds = found.step_ranks[name], found.scores[name].rank
        change = f"{seconds - steps:+d}" if seconds != steps else "0"
        rows.append([name, str(steps), str(seconds), change])
    return rows


def relaxed(found: Findings) -> Table:
    """One line per optimizer: scores and ranks at relaxed targets."""
    percents = sorted(found.sensitivity)
    rows = [["optimizer", *(f"+{p:g} %" for p in percents), "places moved"]]
    for name in found.order:
        cells = []
        for i, percent in enumerate(percents):
            score = f"{found.sensitivity[percent][name]:.3f}"
            rank = found.stability.ranks[name][i] if found.stability else 0
            cells.append(f"{score} ({rank})")
        moves = found.stability.moves[name] if found.stability else 0
        rows.append([name, *cells, str(moves)])
    return rows


def costs(found: Findings) -> Table:
    """One line per optimizer and workload: what a step costs, and memory.

    What the benchmark adds is in it too: its own work within a step, and
    evaluation, for which the clock stands still.
    """
    most = 100 * found.data.rules.eval_share
    rows = [
        [
            "optimizer",
            "workload",
            "step (ms)",
            "quartiles (ms)",
            "optimizer's share (%)",
            "state (bytes per parameter)",
            "kernel",
            "benchmark's share of a step (%)",
            f"evaluation's share of the trials (%, at most {most:g})",
        ]
    ]
    for name in found.order:
        for workload in found.data.workloads:
            cost = found.data.costs.get(workload, {}).get(name)
            if cost is None:
                continue
            low, high = (
                number(None if x is None else 1000 * x)
                for x in (cost.low_s, cost.high_s)
            )
            rows.append(
                [
                    name,
                    workload,
                    number(1000 * cost.step_s),
                    f"{low} to {high}",
                    _percent(cost.share),
                    number(cost.state_bytes),
                    cost.kernel or "–",
                    _percent(cost.overhead),
                    _percent(found.evaluation_share(workload, name)),
                ]
            )
    return rows


def _percent(share: float | None) -> str:
    """A share, in percent."""
    return number(None if share is None else 100 * share, 2)


def variants(found: Findings) -> Table:
    """One line per variant: seconds of each optimizer."""
    rows = [["variant", *(f"{x} (s)" for x in found.order)]]
    for (workload, variant), by in sorted(found.variant_seconds.items()):
        cells = [
            number(by[x]) if math.isfinite(by[x]) else "not reached"
            for x in found.order
        ]
        rows.append([f"{workload}/{variant}", *cells])
    return rows


def ends(found: Findings) -> tuple[Table, Table]:
    """How trials ended: how many in which way, and the reasons."""
    outcomes = found.outcomes
    kinds = list(Counter(x.status for x in outcomes))
    kinds.sort(key=lambda x: (x != "reached", x != "not reached", x))
    counts = [["optimizer", *(x.replace("_", " ") for x in kinds)]]
    for name in found.order:
        count = Counter(x.status for x in outcomes if x.place.optimizer == name)
        counts.append([name, *(str(count[kind]) for kind in kinds)])
    reasons = [["trial", "what happened", "reason"]]
    reasons += [
        [where(x), x.status.replace("_", " "), x.reason]
        for x in outcomes
        if x.status != "reached"
    ]
    return counts, reasons


def flagged(found: Findings) -> Table:
    """Trials whose calibrated seconds are not those that were measured."""
    rows = [["trial", "calibrated (s)", "measured (s)", "ratio"]]
    for x in found.outcomes:
        if x.flagged and x.calibrated_s and x.measured_s:
            cells = [number(x.calibrated_s), number(x.measured_s)]
            ratio = number(x.calibrated_s / x.measured_s)
            rows.append([where(x), *cells, ratio])
    return rows


def where(outcome: Outcome) -> str:
    """Names a trial."""
    place = outcome.place
    name = place.workload
    if place.variant is not None:
        name += f"/{place.variant}"
    digest: Any = outcome.row.get("digest") or "–"
    return (
        f"{place.optimizer} on {name}, study {place.study}, trial "
        f"{place.trial} ({digest})"
    )
