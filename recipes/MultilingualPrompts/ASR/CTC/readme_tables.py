#!/usr/bin/env python3
"""Keeps the figures of finished runs and writes them into the READMEs.

To run this recipe, do the following:
> python readme_tables.py --collect demo results/demo
> python readme_tables.py

The first form gathers every result.json below a folder into results/demo.csv;
the second writes the tables of all kept results into the READMEs, between
`<!-- table: NAME -->` and `<!-- end -->`. NAME is that of a CSV file, or
`plain_NAME` for a CSV file as it is, or one of what compare.py keeps:
`verdict_NAME`, `details_NAME`, `reading_NAME`, `grid_NAME`,
`differences_NAME`, `main_NAME` (those at the main sparsity),
`languages_NAME`.
"""

import argparse
import csv
import functools
import io
import re
import statistics
import sys
from pathlib import Path

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.files import read_json, write_text
from leanbrain.provenance import short_commit
from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import analyse
from leanbrain.pruning.comparison.rows import commits_of, read_kept
from leanbrain.pruning.report.control import steps_cell, uneven
from leanbrain.tables import read_csv
from leanbrain.text import markdown_table, markdown_text

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[3]
RESULTS = FOLDER / "results"
READMES = (FOLDER / "README.md", ROOT / "README.md", ROOT / "docs/pruning.md")
FACTS = (
    "model",
    "seed",
    "sparsity",
    "start_steps",
    "steps",
    "minutes",
    "mean_cer",
    "mean_wer",
)
HOST = ("cpu", "cores", "torch", "speechbrain", "commit")
MODELS = ("dense", "dense_trained_on", "fixed", "adaptive")
# Whose errors are subtracted from whose.
PAIRS = (
    ("adaptive", "fixed"),
    ("adaptive", "dense_trained_on"),
    ("dense_trained_on", "dense"),
)


def row_of(path):
    """A result.json as a flat row; the model is the folder's name."""
    result = read_json(path)
    parts = [part.split("-")[0] for part in path.parts]
    names = [part for part in parts if part in {*MODELS, "pathways"}]
    if not names:
        raise UserError(
            f"A run's folder must name its model ({', '.join(MODELS)}), got "
            f"{path}."
        )
    model = names[-1].replace("pathways", "adaptive")
    return {
        "model": model,
        "seed": result["seed"],
        "sparsity": f"{result['sparsity']:.4f}",
        "start_steps": result["start_steps"],
        "steps": result["steps"],
        "minutes": f"{result['seconds'] / 60:.1f}",
        "mean_cer": f"{result['mean_cer']:.2f}",
        "mean_wer": f"{statistics.mean(result['wer'].values()):.2f}",
        **{f"cer_{k}": f"{v:.2f}" for k, v in result["cer"].items()},
        "cpu": result["host"]["cpu"],
        "cores": result["host"]["cores"],
        "torch": result["versions"]["torch"],
        "speechbrain": result["versions"]["speechbrain"],
        "commit": result["commit"],
    }


def collect(name, folder):
    """Writes results/<name>.csv from all result.json below a folder."""
    rows = [row_of(p) for p in sorted(Path(folder).rglob("result.json"))]
    if not rows:
        raise UserError(f"The folder must hold a result.json, got {folder}.")
    runs = [(r["model"], r["seed"]) for r in rows]
    twice = sorted({run for run in runs if runs.count(run) > 1})
    if twice:
        raise UserError(
            f"A model and seed must occur once below {folder}, got "
            f"{twice[0][0]} with seed {twice[0][1]} {runs.count(twice[0])} "
            "times (remove the older run)."
        )
    languages = sorted({k for r in rows for k in r if k.startswith("cer_")})
    rows.sort(key=lambda r: (MODELS.index(r["model"]), int(r["seed"])))
    out = io.StringIO()
    writer = csv.DictWriter(
        out, [*FACTS, *languages, *HOST], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_text(RESULTS / f"{name}.csv", out.getvalue())


def spread(values):
    """Mean and standard deviation, where there are several."""
    values = [float(v) for v in values if v is not None]
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.2f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.2f}"


def differences(rows):
    """Mean CER of models against others, seed by seed, and whose steps."""
    found = {(r["model"], r["seed"]): r for r in rows}
    for model, other in PAIRS:
        pairs = [
            (found[m, seed], found[other, seed])
            for m, seed in sorted(found)
            if m == model and (other, seed) in found
        ]
        if pairs:
            gaps = (
                float(x["mean_cer"]) - float(y["mean_cer"]) for x, y in pairs
            )
            each = ", ".join(f"{d:+.2f}" for d in gaps)
            steps = uneven(*map(counted, pairs[0])) or " (as many steps)"
            yield f"Mean CER, {model} minus {other}{steps}, by seed: {each}."


def counted(row):
    """The steps of a row, as numbers."""
    return {k: int(row[k]) for k in ("steps", "start_steps")}


def table_of(name):
    """The Markdown table of results/<name>.csv: mean and spread over seeds."""
    path = RESULTS / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"A table needs its results, got no file {path.name}.")
    rows = read_csv(path)
    languages = [k for k in rows[0] if k.startswith("cer_")]
    heads = ["model", "seeds", "sparsity", "steps", "minutes", "mean CER %"]
    heads += [f"CER {k[4:]}" for k in languages] + ["mean WER %"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for model in MODELS:
        mine = [r for r in rows if r["model"] == model]
        if not mine:
            continue
        cells = [model, str(len(mine)), f"{float(mine[0]['sparsity']):.0%}"]
        cells.append(steps_cell(counted(mine[0])))
        cells += [spread(r[k] for r in mine) for k in ("minutes", "mean_cer")]
        cells += [spread(r[k] for r in mine) for k in languages]
        cells.append(spread(r["mean_wer"] for r in mine))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *differences(rows)]
    return "\n".join([*lines, "", origin(rows)])


def kept_path(name):
    """Where compare.py keeps a comparison."""
    path = RESULTS / f"compare_{name}.json"
    if not path.is_file():
        raise UserError(f"A table needs its results, got no file {path.name}.")
    return path


@functools.cache
def found_in(path):
    """What a kept comparison found."""
    return analyse(read_kept(path), bands=False)


def verdict_of(found):
    """Who wins by how much, in a paragraph."""
    return markdown_text(words.verdict(found))


def details_of(found):
    """The same for each sparsity, what languages share, what to know."""
    listed = [*words.details(found), *words.kinship(found), *words.notes(found)]
    return "\n".join(f"- {markdown_text(x)}" for x in listed)


def reading_of(found):
    """How to read the numbers."""
    return markdown_text(words.reading(found))


def grid_of(found):
    """Mean CER of every method at every sparsity."""
    kept = found.kept
    sparsities = sorted({x.sparsity for x in found.points})
    lines = [["method", "steps of all runs"]]
    lines[0] += [tables.percent(x) for x in sparsities]
    for method in dict.fromkeys(x["method"] for x in kept.rows):
        mine = {x.sparsity: x for x in found.points if x.method == method}
        if not mine:
            continue
        steps = {x.average("total_steps"): None for x in mine.values()}
        cells = [
            spread(y["mean_cer"] for y in mine[x].rows) if x in mine else ""
            for x in sparsities
        ]
        lines.append([method, tables.listed([*map(tables.count, steps)])])
        lines[-1] += cells
    return f"{markdown_table(lines)}\n\n{origin(kept.rows)}"


def differences_of(found):
    """Paired differences with their intervals."""
    return markdown_table(tables.differences(found))


def main_of(found):
    """Paired differences at the main sparsity alone."""
    head, *rows = tables.differences(found)
    main_sparsity = tables.percent(found.main_sparsity)
    return markdown_table([head, *(x for x in rows if main_sparsity in x)])


def languages_of(found):
    """Errors of every language."""
    return markdown_table(tables.by_language(found))


def plain_of(name):
    """A CSV file as it is."""
    path = RESULTS / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"A table needs its results, got no file {path.name}.")
    rows = read_csv(path)
    return markdown_table([list(rows[0]), *(list(x.values()) for x in rows)])


def origin(rows):
    """Where the numbers of a table come from."""
    facts = {k: ", ".join(sorted({str(r[k]) for r in rows})) for k in HOST}
    commits = ", ".join(short_commit(x) for x in commits_of(rows))
    seeds = {str(r["seed"]) for r in rows}
    what = "Mean and standard deviation over seeds"
    if len(seeds) == 1:
        what = "One seed"
    return (
        f"{what}; {facts['cpu']}, "
        f"{facts['cores']} cores, torch {facts['torch']}, SpeechBrain "
        f"{facts['speechbrain']}, commit {commits}."
    )


KINDS = {
    "verdict": verdict_of,
    "details": details_of,
    "reading": reading_of,
    "grid": grid_of,
    "differences": differences_of,
    "main": main_of,
    "languages": languages_of,
}


def made(name):
    """A table by the name in its mark."""
    kind, _, rest = name.partition("_")
    if kind == "plain" and rest:
        return plain_of(rest)
    if kind in KINDS and rest:
        return KINDS[kind](found_in(kept_path(rest)))
    return table_of(name)


def filled(text):
    """A README's text with every table made anew."""
    pattern = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)
    return pattern.sub(
        lambda m: f"{m.group(1)}{made(m.group(2))}\n{m.group(3)}", text
    )


def main(arguments):
    """Collects if asked to, then writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--collect", nargs=2, metavar=("NAME", "FOLDER"))
    options = parser.parse_args(arguments)
    if options.collect:
        collect(*options.collect)
    for path in READMES:
        write_text(path, filled(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
