"""Turns results and histories of runs into the curves of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leanbrain.pruning.monitor.charts import Line

__all__ = [
    "Histories",
    "History",
    "by_model",
    "languages",
    "losses",
    "sparsities",
    "updates",
    "validations",
]

History = Sequence[Mapping[str, Any]]
Histories = Mapping[str, History]


def by_model(
    summary: Mapping[str, Any], metric: str
) -> dict[str, dict[str, float]]:
    """Model -> language -> percent, with the mean as last entry."""
    values = {}
    for name, result in summary.items():
        if name != "host" and result[metric]:
            rates = dict(result[metric])
            mean = sum(rates.values()) / len(rates)
            values[name] = {**rates, "mean": result.get(f"mean_{metric}", mean)}
    return values


def updates(history: History) -> list[Mapping[str, Any]]:
    """Records of mask updates; none of a control whose masks keep all."""
    found = [x for x in history if x["kind"] == "update"]
    return found if any(x["sparsity_planned"] > 0 for x in found) else []


def languages(history: History, metric: str) -> list[Line]:
    """One curve per language of a metric on validation data."""
    points: dict[str, tuple[list[float], list[float]]] = {}
    for record in validations(history):
        values = record["metrics"].get(metric)
        for language, value in (values or {}).items():
            if value is not None:
                xs, ys = points.setdefault(language, ([], []))
                xs.append(record["step"])
                ys.append(value)
    return [
        Line(language, xs, ys, colour)
        for colour, (language, (xs, ys)) in enumerate(points.items())
    ]


def validations(history: History) -> list[Mapping[str, Any]]:
    """Records of evaluations on validation data."""
    kinds = ("metrics", "valid")
    return [x for x in history if (x["kind"], x.get("stage")) == kinds]


def losses(histories: Histories) -> list[Line]:
    """Two curves per model: training and validation loss."""
    lines = []
    for colour, (name, history) in enumerate(histories.items()):
        train = [(x["step"], x["loss"]) for x in history if x["kind"] == "loss"]
        valid = [
            (x["step"], x["metrics"].get("loss")) for x in validations(history)
        ]
        for points, dashed in ((train, False), (valid, True)):
            means = [(step, _mean(values)) for step, values in points]
            known = [(step, y) for step, y in means if y is not None]
            if known:
                xs, ys = zip(*known, strict=True)
                label = "" if dashed and train else name
                lines.append(Line(label, xs, ys, colour, dashed))
    return lines


def sparsities(histories: Histories) -> list[Line]:
    """Two curves per pruned model: real and planned sparsity, in percent."""
    lines = []
    for colour, (name, history) in enumerate(histories.items()):
        changes = updates(history)
        if not changes:
            continue
        # Masks stay as they are between updates and after the last one.
        last = max(x["step"] for x in history)
        xs = [*(x["step"] for x in changes), last]
        for kind, dashed in (("real", False), ("planned", True)):
            ys = [100.0 * x[f"sparsity_{kind}"] for x in changes]
            label = "" if dashed else name
            lines.append(
                Line(label, xs, [*ys, ys[-1]], colour, dashed, stairs=True)
            )
    return lines


def _mean(values: Any) -> float | None:
    """Mean over pathways, or the number itself; None if there is none."""
    if isinstance(values, Mapping):
        known = [x for x in values.values() if x is not None]
        return sum(known) / len(known) if known else None
    return values
