#!/usr/bin/env python3
"""Keeps the figures of finished runs and writes them into the READMEs.

To run this recipe, do the following:
> python readme_tables.py --collect demo results/demo
> python readme_tables.py

The first form gathers every result.json below a folder into the CTC recipe's
results/demo.csv; the second writes the tables of all kept results, of whichever
recipe here, into all pages, between `<!-- table: NAME -->` and `<!-- end -->`.
NAME is that of a CSV file, or `plain_NAME` for a CSV file as it is, or one of
what compare.py keeps: `verdict_NAME`, `details_NAME`, `reading_NAME`,
`grid_NAME`, `differences_NAME`, `main_NAME` (those at the main sparsity),
`languages_NAME` and `wer_NAME` (character and word errors of each language).
"""

import argparse
import csv
import io
import statistics
import sys
from pathlib import Path

from kept_tables import HOST, KINDS, found_in, origin, spread

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.files import read_json, write_text
from leanbrain.pruning.report.control import steps_cell, uneven
from leanbrain.tables import read_csv
from leanbrain.text import fill_tables, markdown_table

RECIPES = Path(__file__).resolve().parents[1] / "ASR"
ROOT = RECIPES.parents[2]
DEMO = RECIPES / "CTC" / "results"  # of the demo, which CTC has alone
RESULTS = (DEMO, RECIPES / "Whisper" / "results")
READMES = (
    RECIPES / "CTC" / "README.md",
    RECIPES / "Whisper" / "README.md",
    ROOT / "README.md",
    ROOT / "docs" / "pruning.md",
    ROOT / "docs" / "prune_your_recipe" / "whisper.md",
)
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
    write_text(DEMO / f"{name}.csv", out.getvalue())


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
    rows = read_csv(result_file(f"{name}.csv"))
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


def result_file(name):
    """Where a file of results lies, in whichever recipe."""
    for folder in RESULTS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"A table needs its results, got no file {name}.")


def plain_of(name):
    """A CSV file as it is."""
    rows = read_csv(result_file(f"{name}.csv"))
    return markdown_table([list(rows[0]), *(list(x.values()) for x in rows)])


def made(name):
    """A table by the name in its mark."""
    kind, _, rest = name.partition("_")
    if kind == "plain" and rest:
        return plain_of(rest)
    if kind in KINDS and rest:
        path = result_file(f"compare_{rest}.json")
        return KINDS[kind](found_in(path))
    return table_of(name)


def filled(text):
    """A README's text with every table made anew."""
    return fill_tables(text, made)


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
