"""Which charts a report shows, and what each of them says in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from leanbrain.chart_style import LIGHT, new_figure
from leanbrain.page import Chart, Section
from leanbrain.pruning.monitor.charts import (
    bars_figure,
    curves_figure,
    draw_bars,
    draw_curves,
    overlap_figure,
)
from leanbrain.pruning.report.series import (
    Histories,
    by_model,
    languages,
    losses,
    sparsities,
    updates,
)

__all__ = ["pictures", "sections"]


def sections(summary: Mapping[str, Any], histories: Histories) -> list[Section]:
    """Chooses the charts of a report.

    Arguments
    ---------
    summary : Mapping
        What `report.collect` returns.
    histories : Mapping
        Model -> records of its history; may be empty.

    Returns
    -------
    list
        The sections that have anything to show.
    """
    found = [
        _error_bars(summary),
        _error_curves("cer", "Character", histories),
        _error_curves("wer", "Word", histories),
        _training(histories),
        _overlaps(histories),
    ]
    return [section for section in found if section.charts]


def pictures(
    summary: Mapping[str, Any], histories: Histories
) -> dict[str, Figure]:
    """Draws the pictures for README files.

    Returns
    -------
    dict
        "curves.png" -> Figure; "overlap.png" -> Figure where there is an
        overlap to show, of the first model that has one.
    """
    figure = new_figure(10.0, 6.4)
    (upper_left, upper_right), (lower_left, lower_right) = figure.subplots(2, 2)
    draw_bars(upper_left, by_model(summary, "cer"), _CER_TITLE, "CER (%)")
    pruned = [name for name in histories if updates(histories[name])]
    name = (pruned or list(histories))[0]
    lines = languages(histories[name], "cer")
    words = f"Character error rate on validation data: {name}"
    draw_curves(upper_right, lines, words, "CER (%)")
    draw_curves(lower_left, losses(histories), _LOSS_TITLE, "CTC loss")
    lines = sparsities(histories)
    draw_curves(lower_right, lines, _SPARSITY_TITLE, "sparsity (%)", 100.0)
    drawn = {"curves.png": figure}
    overlaps = _overlaps(histories).charts
    if overlaps:
        drawn["overlap.png"] = overlaps[0].draw(theme=LIGHT)
    return drawn


_CER_TITLE = "Character error rate on test data"
_LOSS_TITLE = "Loss (line: training, dashed: validation)"
_SPARSITY_TITLE = "Weights removed (line: real, dashed: planned)"


def _error_bars(summary: Mapping[str, Any]) -> Section:
    """The result: error rates of every model, language by language."""
    charts = []
    for metric, word in (("cer", "Character"), ("wer", "Word")):
        values = by_model(summary, metric)
        title = f"{word} error rate on test data"
        unit = f"{metric.upper()} (%)"
        words = f"{title}, percent: " + "; ".join(
            f"{model}: " + ", ".join(f"{k} {x:.1f}" for k, x in rates.items())
            for model, rates in values.items()
        )
        charts.append(Chart(words, partial(bars_figure, values, title, unit)))
    caption = (
        "Shorter bars are better. Every language has one bar per model; the "
        "first group names the models, the last one is the mean over the "
        "languages. The axis begins at zero, so bars twice as long mean twice "
        "as many errors."
    )
    return Section("Errors per language", caption, tuple(charts))


def _error_curves(metric: str, word: str, histories: Histories) -> Section:
    """Error rates on validation data, one chart per model."""
    lines = {name: languages(x, metric) for name, x in histories.items()}
    lines = {name: x for name, x in lines.items() if x}
    pruned = [name for name in lines if updates(histories[name])]
    # Dense training starts at 100 %: on its axis the others would be flat.
    highest = max(
        (y for name in pruned for line in lines[name] for y in line.y),
        default=0.0,
    )
    charts = []
    for name, curves in lines.items():
        top = 1.05 * highest if name in pruned and highest else None
        draw = partial(
            curves_figure, curves, name, f"{metric.upper()} (%)", top
        )
        charts.append(
            Chart(f"{word} error rate of {name} over optimizer steps", draw)
        )
    caption = (
        "One line per language, measured on validation data during training; "
        "lower is better. Sparse models start from the trained dense one and "
        "share one scale; dense ones have their own, since one starts from "
        "nothing."
    )
    title = f"{word} error rate during training"
    return Section(title, caption, tuple(charts))


def _training(histories: Histories) -> Section:
    """Loss and sparsity of all models."""
    charts = []
    lines = losses(histories)
    if lines:
        draw = partial(curves_figure, lines, _LOSS_TITLE, "CTC loss")
        charts.append(Chart("Loss of each model over optimizer steps", draw))
    lines = sparsities(histories)
    if lines:
        draw = partial(
            curves_figure, lines, _SPARSITY_TITLE, "sparsity (%)", 100.0
        )
        words = "Share of weights removed over optimizer steps"
        charts.append(Chart(words, draw))
    caption = (
        "First: how well a model fits, mean over the pathways; lower is "
        "better. Second: how many of the weights a pathway does without, mean "
        "over the pathways; they take turns, so the real line follows the "
        "planned one in steps and must meet it in the end."
    )
    return Section("Training", caption, tuple(charts))


def _overlaps(histories: Histories) -> Section:
    """Overlap matrices after the last update of the masks."""
    charts = []
    for name, history in histories.items():
        changes = updates(history)
        if not changes or len(changes[-1]["pathways"]) < 2:
            continue
        last = changes[-1]
        title = f"{name}, masks of step {last['step']:,}"
        draw = partial(overlap_figure, last["overlap"], last["pathways"], title)
        charts.append(Chart(f"Overlap matrix of {title}", draw))
    caption = (
        "Each cell compares two languages: of the weights that at least one "
        "of them uses, the share that both use. 1 means the same pathway; two "
        "random pathways that each keep a share d would reach d / (2 - d), "
        "for 30 % kept 0.18."
    )
    return Section("How much the pathways share", caption, tuple(charts))
