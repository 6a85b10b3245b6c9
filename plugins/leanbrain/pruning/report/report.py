"""Compares finished runs: one summary, one table, one page with charts."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.files import atomic_path, read_json, write_json, write_text
from leanbrain.pruning.monitor.history import read_history
from leanbrain.pruning.report.control import (
    control,
    models_of,
    steps_cell,
    uneven,
)

__all__ = ["collect", "markdown_table", "table", "write_report"]

RESULT_FILE = "result.json"
HISTORY_FILE = "history.jsonl"


def collect(runs: Mapping[str, str | os.PathLike[str]]) -> dict[str, Any]:
    """Gathers the results of several runs.

    Arguments
    ---------
    runs : Mapping
        Name of a model -> folder of its run, with a file `result.json`:
        "sparsity" (share removed), "steps", "seconds", "cer" and "wer"
        (language -> percent), "mean_cer" (percent), "start_steps" (of the
        model that it started from, 0 where it is left out), and anything that
        tells where it comes from ("seed", "commit", "versions", "host",
        "hparams").

    Returns
    -------
    dict
        Name of a model -> its results; "host" -> the machine of the first
        run. A run on another machine keeps its own "host".

    Raises
    ------
    UserError
        If there is no run, or if a result is missing or broken; the message
        names the file.
    """
    if not runs or "host" in runs:
        raise UserError(
            "`runs` must name at least one run, and none of them `host`, got "
            f"{list(runs)}."
        )
    summary: dict[str, Any] = {}
    hosts: list[Any] = []
    for name, folder in runs.items():
        result = _read_result(Path(folder) / RESULT_FILE)
        host = result.pop("host", {})
        if hosts and host != hosts[0]:
            result["host"] = host
        hosts.append(host)
        summary[name] = result
    return {**summary, "host": hosts[0]}


def table(summary: Mapping[str, Any]) -> list[list[str]]:
    """Lays the results out, with differences to a dense model.

    Arguments
    ---------
    summary : Mapping
        What `collect` returns.

    Returns
    -------
    list
        Rows of cells, the header first. A sparse model is compared with its
        `control`; where that has another number of steps, the row says so.
    """
    models = models_of(summary)
    known = (language for x in models.values() for language in x["cer"])
    languages = list(dict.fromkeys(known))
    header = ["model", "sparsity", "steps", "seconds"]
    header += [f"CER {k}" for k in languages] + ["mean CER", "mean WER"]
    rows = [header]
    for name, result in models.items():
        errors = _errors(result, languages)
        rows.append(
            [
                name,
                f"{100 * result['sparsity']:.1f} %",
                steps_cell(result),
                f"{result['seconds']:.0f}",
                *("–" if x is None else f"{x:.2f}" for x in errors),
            ]
        )
        base = control(summary, name)
        if base is not None:
            both = zip(errors, _errors(models[base], languages), strict=True)
            cells = (
                "" if x is None or y is None else f"{x - y:+.2f}"
                for x, y in both
            )
            label = f"{name} − {base}{uneven(result, models[base])}"
            rows.append([label, "", "", "", *cells])
    return rows


def markdown_table(summary: Mapping[str, Any]) -> str:
    """Writes the results as a Markdown table.

    Arguments
    ---------
    summary : Mapping
        What `collect` returns.

    Returns
    -------
    str
        The table; error rates in percent, aligned for a console.

    Example
    -------
    >>> one = {"steps": 9, "seconds": 1.5, "cer": {"en": 5}, "wer": {"en": 8}}
    >>> summary = {"dense": {**one, "sparsity": 0, "mean_cer": 5}, "host": {}}
    >>> print(markdown_table(summary))
    | model | sparsity | steps | seconds | CER en | mean CER | mean WER |
    |-------|---------:|------:|--------:|-------:|---------:|---------:|
    | dense |    0.0 % |     9 |       2 |   5.00 |     5.00 |     8.00 |
    """
    rows = [[x.replace("|", r"\|") for x in row] for row in table(summary)]
    widths = [max(len(x) for x in column) for column in zip(*rows, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        pairs = zip(row[1:], widths[1:], strict=True)
        cells += [cell.rjust(width) for cell, width in pairs]
        lines.append("| " + " | ".join(cells) + " |")
        if i == 0:
            rules = ["-" * (widths[0] + 2)]
            rules += ["-" * (width + 1) + ":" for width in widths[1:]]
            lines.append("|" + "|".join(rules) + "|")
    return "\n".join(lines)


def write_report(
    runs: Mapping[str, str | os.PathLike[str]],
    out_folder: str | os.PathLike[str],
    title: str = "Pathways of a multilingual recogniser",
) -> Path:
    """Writes summary.json, table.md, report.html and two pictures.

    Arguments
    ---------
    runs : Mapping
        Name of a model -> folder of its run, as for `collect`. The charts
        come from `history.jsonl` in it, as `PruningMonitor` writes it; what
        it lacks is left out.
    out_folder : path
        Where the files go: `report.html`, which needs no other file, and
        `curves.png`, and `overlap.png` where there are pathways.
    title : str
        Heading of the page.

    Returns
    -------
    Path
        The file `report.html`.

    Raises
    ------
    UserError
        If a result is missing or broken; the message names the file.
    """
    # matplotlib takes a second to load: only where it draws.
    from leanbrain.chart_style import to_png
    from leanbrain.pruning.report.page import page
    from leanbrain.pruning.report.pictures import pictures, sections

    summary = collect(runs)
    histories = {
        name: read_history(Path(folder) / HISTORY_FILE)
        for name, folder in runs.items()
    }
    out = Path(out_folder)
    write_json(out / "summary.json", summary)
    write_text(out / "table.md", markdown_table(summary) + "\n")
    for name, figure in pictures(summary, histories).items():
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(to_png(figure))
    chapters = sections(summary, histories)
    write_text(
        out / "report.html", page(title, summary, table(summary), chapters)
    )
    return out / "report.html"


def _errors(
    result: Mapping[str, Any], languages: list[str]
) -> list[float | None]:
    """Lists CER per language, mean CER and mean WER, in percent."""
    wer = list(result["wer"].values())
    mean_wer = sum(wer) / len(wer) if wer else None
    cer = [result["cer"].get(k) for k in languages]
    return [*cer, result["mean_cer"], mean_wer]


def _read_result(path: Path) -> dict[str, Any]:
    """Reads and checks one result.json."""
    result = read_json(path)
    if not isinstance(result, dict):
        raise UserError(f"The file {path} must hold a JSON object.")
    for key in ("sparsity", "seconds", "mean_cer"):
        if not _is_number(result.get(key)):
            raise _broken(path, key, "a number >= 0", result)
    if result["sparsity"] >= 1.0:
        raise _broken(path, "sparsity", "a share in [0, 1)", result)
    for key in ("steps", "start_steps"):
        value = result.setdefault(key, 0)
        if not _is_number(value) or int(value) != value:
            raise _broken(path, key, "an integer >= 0", result)
        result[key] = int(value)
    for key in ("cer", "wer"):
        values = result.get(key)
        if not isinstance(values, dict) or not all(
            _is_number(x) for x in values.values()
        ):
            raise _broken(path, key, "numbers >= 0 by language", result)
    if not result["cer"]:
        raise _broken(path, "cer", "at least one language", result)
    return result


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number >= 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value) and value >= 0


def _broken(path: Path, key: str, rule: str, result: dict) -> UserError:
    """Builds the sentence: file, key, rule, value got."""
    return UserError(
        f"The file {path} must hold `{key}`: {rule}, got {result.get(key)!r}."
    )
