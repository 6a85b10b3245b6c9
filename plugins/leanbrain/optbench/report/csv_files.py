"""The numbers of a report as CSV, with all their digits."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from leanbrain.optbench.report.findings import Findings
from leanbrain.text import csv_text

__all__ = ["summary_csv", "trials_csv"]

_SUMMARY = (
    "optimizer",
    "workload",
    "score",
    "score_low",
    "score_high",
    "rank",
    "rank_low",
    "rank_high",
    "speedup",
    "reference_score",
    "seconds",
    "seconds_low",
    "seconds_high",
    "counts",
    "step_s",
    "step_s_low",
    "step_s_high",
    "state_bytes_per_parameter",
    "kernel",
)
_TRIALS = (
    "digest",
    "optimizer",
    "workload",
    "variant",
    "study",
    "trial",
    "seed",
    "status",
    "reason",
    "steps",
    "seconds",
    "calibrated_s",
    "measured_s",
    "flagged",
    "best",
    "hyperparameters",
)


def summary_csv(found: Findings) -> str:
    """Writes a line per optimizer and workload.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    str
        CSV; what is infinite or unknown is empty. Score, rank and speed-up
        are over all workloads and stand in each line.
    """
    rows = []
    for name in found.order:
        for workload in found.data.workloads:
            cost = found.data.costs.get(workload, {}).get(name)
            rows.append(
                [
                    name,
                    workload,
                    *dataclasses.astuple(found.scores[name]),
                    found.speedups[name],
                    found.reference_scores[name],
                    found.seconds[name][workload],
                    *found.time_intervals[name][workload],
                    int((name, workload) not in found.refused),
                    *(
                        [None] * 5
                        if cost is None
                        else [
                            cost.step_s,
                            cost.low_s,
                            cost.high_s,
                            cost.state_bytes,
                            cost.kernel,
                        ]
                    ),
                ]
            )
    return csv_text(_SUMMARY, [[_finite(x) for x in row] for row in rows])


def trials_csv(found: Findings) -> str:
    """Writes a line per trial.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    str
        CSV; "seconds" is empty for trials that did not reach the target.
    """
    rows = [
        [
            x.row.get("digest"),
            *x.place,
            x.config.get("seed"),
            x.status,
            x.reason,
            x.steps,
            x.seconds,
            x.calibrated_s,
            x.measured_s,
            int(x.flagged),
            x.result.get("best"),
            json.dumps(x.config.get("hyperparameters") or {}, sort_keys=True),
        ]
        for x in found.outcomes
    ]
    return csv_text(_TRIALS, [[_finite(x) for x in row] for row in rows])


def _finite(value: Any) -> Any:
    """Leaves cells of numbers that are infinite or unknown empty."""
    is_float = isinstance(value, float)
    return None if is_float and not math.isfinite(value) else value
