"""Which charts a report shows, and what each of them says in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure

from leanbrain.optbench.report.drawing import (
    Bar,
    Curve,
    bars_figure,
    curves_figure,
    ranks_figure,
)
from leanbrain.optbench.report.findings import Findings
from leanbrain.optbench.report.outcomes import Outcome
from leanbrain.page import Chart, Section
from leanbrain.text import number

__all__ = ["costs", "progress", "scores", "sensitivity", "times"]

_RELAXED = "error allowed above the target (%)"


def scores(found: Findings) -> Section:
    """Performance profiles, and scores with their intervals."""
    curves = [
        Curve(x, found.taus, found.profiles[x], found.index(x))
        for x in found.order
    ]
    profile = partial(
        curves_figure,
        curves,
        "Performance profiles",
        "times the fastest optimizer's time",
        "share of workloads",
        x_low=1.0,
        top=1.05,
        stairs=True,
    )
    bars = [
        Bar(
            x,
            found.scores[x].score,
            found.scores[x].low,
            found.scores[x].high,
            f"{found.scores[x].score:.2f}",
            found.index(x),
        )
        for x in found.order
    ]
    heights = ", ".join(f"{x} {found.scores[x].score:.2f}" for x in found.order)
    charts = (
        _chart(
            f"Scores: {heights}", partial(bars_figure, bars, "Score", _SCORE)
        ),
        _chart("Share of workloads within a multiple of the best", profile),
    )
    caption = (
        "First: the score and how far it could move if the same studies and "
        "trials were drawn again. Second: on which share of the workloads an "
        "optimizer needs at most so many times the time of the fastest. "
        "Higher is better; the score is the mean height."
    )
    return Section("Scores", caption, charts)


def times(found: Findings) -> Section:
    """Seconds to the target, one chart per workload."""
    charts = []
    for workload in found.data.workloads:
        bars = [_time_bar(found, x, workload) for x in found.order]
        words = ", ".join(f"{x.label} {x.note}" for x in bars)
        title = f"Time to target: {workload}"
        draw = partial(bars_figure, bars, title, "seconds")
        charts.append(_chart(f"{title}, in seconds: {words}", draw))
    caption = (
        "Shorter bars are better. The line across the end of a bar is its "
        f"{100 * found.confidence:.0f} % interval from resampling studies and "
        "trials; an arrow says that it has no end, as too many of the trials "
        "never reached the target."
    )
    return Section("Time to target", caption, tuple(charts))


def progress(found: Findings) -> Section:
    """Validation metric and training loss over time, by workload."""
    charts = []
    for workload in found.data.workloads:
        chosen = [found.typical(x, workload) for x in found.order]
        trials = [x for x in chosen if x is not None]
        if not trials:
            continue
        config = trials[0].config
        metric, target = str(config["metric"]), config.get("target")
        scale = 1.0 + found.data.rules.target.relaxation_percent / 100.0
        level = None if target is None else ("target", target * scale)
        valid = [_valid_curve(found, x, metric) for x in trials]
        loss = [_loss_curve(found, x) for x in trials]
        for curves, unit, line in (
            (valid, metric.replace("_", " "), level),
            (loss, "training loss", None),
        ):
            drawn = [x for x in curves if len(x.x)]
            if drawn:
                title = f"{workload}: {unit}"
                # The first evaluations would press all others flat.
                draw = partial(
                    curves_figure,
                    drawn,
                    title,
                    "seconds of training",
                    unit,
                    level=line,
                )
                charts.append(_chart(f"{title} over time", draw))
    caption = (
        "One line per optimizer: the trial that decides its time (the best "
        "trial of the median study), or the one that came nearest to the "
        "target. Time stands still during evaluation; lines end where the "
        "strict target is met or the budget is used."
    )
    return Section("Progress over time", caption, tuple(charts))


def sensitivity(found: Findings) -> Section:
    """Scores and ranks when the target is relaxed."""
    if found.stability is None or len(found.sensitivity) < 2:
        return Section("", "", ())
    percents = sorted(found.sensitivity)
    curves, ranks = [], []
    for name in found.order:
        heights = [found.sensitivity[p][name] for p in percents]
        places = found.stability.ranks[name]
        curves.append(Curve(name, percents, heights, found.index(name)))
        ranks.append(Curve(name, percents, places, found.index(name)))
    title = "Scores at relaxed targets"
    score = partial(curves_figure, curves, title, _RELAXED, "score", top=1.05)
    rank = partial(ranks_figure, ranks, "Ranks at relaxed targets", _RELAXED)
    percent = found.data.rules.target.relaxation_percent
    caption = (
        "What would have been, had the target been easier: read from the same "
        "curves, at the first evaluation within so many percent above the "
        f"target's error. The rules score at {percent:g} %. Lines that cross "
        "say that the order depends on the target."
    )
    charts = (
        _chart("Score of each optimizer by how far targets are relaxed", score),
        _chart("Rank of each optimizer by how far targets are relaxed", rank),
    )
    return Section("How much depends on the target", caption, charts)


def costs(found: Findings) -> Section:
    """What a step costs, relative to forward and backward, and memory."""
    charts = []
    data = found.data
    for workload in data.workloads:
        known = data.costs.get(workload, {})
        bars = [
            Bar(
                x,
                1000 * known[x].step_s,
                _ms(known[x].low_s),
                _ms(known[x].high_s),
                f"{number(1000 * known[x].step_s)}  {known[x].kernel}",
                found.index(x),
            )
            for x in found.order
            if x in known
        ]
        if bars:
            title = f"Cost of a step: {workload}"
            draw = partial(bars_figure, bars, title, "milliseconds")
            charts.append(_chart(title, draw))
    memory = _memory(found)
    if memory:
        title = "State of the optimizer"
        draw = partial(bars_figure, memory, title, "bytes per parameter")
        charts.append(_chart(f"{title}, in bytes per parameter", draw))
    caption = (
        "A training step (forward, backward and optimizer) with the kernel "
        "that the optimizer used, measured with all optimizers taking turns "
        "on the same batches in one process; the line spans the quartiles. "
        "The state is what the optimizer keeps beside the weights."
    )
    return Section("What a step costs", caption, tuple(charts))


_SCORE = "score (1: the fastest everywhere)"


def _chart(words: str, draw: Callable[..., Figure]) -> Chart:
    """A chart that has no colours but those of the theme."""
    return Chart(words, draw, plain=True)


def _time_bar(found: Findings, name: str, workload: str) -> Bar:
    """The time of an optimizer on a workload."""
    seconds = found.seconds[name][workload]
    low, high = found.time_intervals[name][workload]
    note = number(seconds) if math.isfinite(seconds) else "not reached"
    if (name, workload) in found.refused:
        note += ", not counted"
    return Bar(name, seconds, low, high, note, found.index(name))


def _valid_curve(found: Findings, trial: Outcome, metric: str) -> Curve:
    """The metric of a trial over time."""
    points = [
        (point["step"], (point.get("valid") or {}).get(metric))
        for point in trial.result.get("curve") or []
    ]
    return _curve(found, trial, points)


def _loss_curve(found: Findings, trial: Outcome) -> Curve:
    """The training loss of a trial over time."""
    points = [
        (point["step"], point.get("train_loss"))
        for point in trial.result.get("curve") or []
    ]
    return _curve(found, trial, points)


def _curve(
    found: Findings,
    trial: Outcome,
    points: Sequence[tuple[int, float | None]],
) -> Curve:
    """Turns steps into seconds; leaves out what is no number."""
    name = trial.place.optimizer
    known = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    x = [found.seconds_at(trial, step) for step, _ in known]
    return Curve(name, x, [y for _, y in known], found.index(name))


def _memory(found: Findings) -> list[Bar]:
    """State per parameter, the largest over the workloads."""
    bars = []
    for name in found.order:
        values = [
            by[name].state_bytes
            for by in found.data.costs.values()
            if name in by and by[name].state_bytes is not None
        ]
        if values:
            most = max(x for x in values if x is not None)
            bar = Bar(name, most, note=number(most), index=found.index(name))
            bars.append(bar)
    return bars


def _ms(seconds: float | None) -> float:
    """Milliseconds; NaN where there are none."""
    return math.nan if seconds is None else 1000 * seconds
