#!/usr/bin/env python3
"""Keeps the figures of finished runs and writes them into the README.

To run this recipe, do the following:
> python readme_tables.py --collect real results/compare/runs
> python readme_tables.py

The first form gathers every result.json below a folder into results/real.csv
and results/real.png; the second writes the tables of all CSV files into the
README, between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import argparse
import csv
import io
import statistics
import sys
from pathlib import Path

from chart import draw
from sparse_table import sparse_table, spread

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.files import atomic_path, read_json, write_text
from leanbrain.provenance import short_commit
from leanbrain.tables import read_csv
from leanbrain.text import fill_tables

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
READMES = (FOLDER / "README.md",)
FRONT_ENDS = ("fbank", "nmf", "nmf_finetuned", "nmf_noise")
FACTS = (
    "front_end",
    "train_share",
    "seed",
    "train_utterances",
    "classifier_parameters",
    "front_end_parameters",
    "steps",
    "seconds",
    "valid",
)
HOST = ("cpu", "cores", "torch", "speechbrain", "commit")


def row_of(path):
    """A result.json as a flat row."""
    result = read_json(path)
    return {
        **{k: result[k] for k in FACTS[:7]},
        "seconds": f"{sum(result['seconds'].values()):.0f}",
        "valid": f"{result['best']['error_percent']:.2f}",
        **{k: f"{v:.2f}" for k, v in result["error_percent"].items()},
        "cpu": result["host"]["cpu"],
        "cores": result["host"]["cores"],
        "torch": result["versions"]["torch"],
        "speechbrain": result["versions"]["speechbrain"],
        "commit": result["commit"],
    }


def gather(paths):
    """Rows of some result.json, sorted; each run must occur once."""
    rows = [row_of(path) for path in paths]
    runs = [(r["front_end"], r["train_share"], r["seed"]) for r in rows]
    twice = sorted({run for run in runs if runs.count(run) > 1})
    if twice:
        name, share, seed = twice[0]
        raise UserError(
            "A front end, share and seed must occur once, got "
            f"{name}, {share} and {seed} {runs.count(twice[0])} times (remove "
            "the older run)."
        )
    if len({tuple(conditions(r)) for r in rows}) > 1:
        raise UserError("All runs must have the same test conditions.")
    order = {name: index for index, name in enumerate(FRONT_ENDS)}
    return sorted(
        rows,
        key=lambda r: (
            -float(r["train_share"]),
            order.get(r["front_end"], len(order)),
            r["front_end"],
            int(r["seed"]),
        ),
    )


def conditions(row):
    """Names of the test conditions of a row."""
    return [key for key in row if key not in {*FACTS, *HOST}]


def csv_text(rows):
    """The rows as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def keep(rows, stem):
    """Writes <stem>.csv and the chart <stem>.png."""
    write_text(stem.with_suffix(".csv"), csv_text(rows))
    with atomic_path(stem.with_suffix(".png")) as path:
        path.write_bytes(draw(rows, conditions(rows[0])))


def collect(name, folder):
    """Writes results/<name>.csv and .png from all runs below a folder."""
    paths = sorted(Path(folder).rglob("result.json"))
    if not paths:
        raise UserError(f"The folder must hold a result.json, got {folder}.")
    keep(gather(paths), RESULTS / name)


def read_results(name):
    """The rows of results/<name>.csv."""
    path = RESULTS / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"A table needs its results, got no file {path.name}.")
    return read_csv(path)


def by_level(row):
    """Mean over the colours of noise: {"clean": x, "20": y} and so on."""
    levels = {}
    for key in conditions(row):
        levels.setdefault(key.rpartition("_")[2], []).append(float(row[key]))
    return {level: statistics.mean(x) for level, x in levels.items()}


def differences(rows, share):
    """Error of each front end minus that of fbank, seed by seed."""
    errors = {
        (r["front_end"], r["seed"]): by_level(r)
        for r in rows
        if r["train_share"] == share
    }
    for name in dict.fromkeys(name for name, _ in errors):
        seeds = [s for n, s in errors if n == name and ("fbank", s) in errors]
        if name == "fbank" or not seeds:
            continue
        parts = []
        for level in errors[name, seeds[0]]:
            each = ", ".join(
                f"{errors[name, s][level] - errors['fbank', s][level]:+.1f}"
                for s in seeds
            )
            parts.append(f"{level_name(level)} {each}")
        yield (
            f"- {float(share):.0%} of the data, {name} minus fbank, by seed: "
            f"{'; '.join(parts)}."
        )


def level_name(level):
    """How a level is called in a table."""
    return level if level == "clean" else f"{level} dB"


def table_of(name):
    """The Markdown table of results/<name>.csv: mean and spread over seeds."""
    rows = read_results(name)
    # Both kinds of comparison lie in one folder.
    make = sparse_table if "sparsity" in rows[0] else front_end_table
    return make(rows)


def front_end_table(rows):
    """The table of a comparison of front ends."""
    levels = list(by_level(rows[0]))
    heads = ["training data", "front end", "seeds", "parameters", "minutes"]
    heads += [f"{level_name(level)} %" for level in levels]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    shares = list(dict.fromkeys(r["train_share"] for r in rows))
    for share in shares:
        here = [r for r in rows if r["train_share"] == share]
        for front_end in dict.fromkeys(r["front_end"] for r in here):
            mine = [r for r in here if r["front_end"] == front_end]
            lines.append(line_of(mine, levels))
    lines.append("")
    for share in shares:
        lines += differences(rows, share)
    commits = sorted({short_commit(r["commit"]) for r in rows})
    lines += [
        "",
        "Mean and standard deviation over seeds; noise: mean over the "
        f"colours; {rows[0]['cpu']}, torch {rows[0]['torch']}, SpeechBrain "
        f"{rows[0]['speechbrain']}, commit {', '.join(commits)}.",
    ]
    return "\n".join(lines)


def line_of(mine, levels):
    """One line of the table, from the rows of a front end and share."""
    first = mine[0]
    own = int(first["front_end_parameters"])
    parameters = f"{int(first['classifier_parameters']):,}"
    minutes = statistics.mean(float(r["seconds"]) for r in mine) / 60
    cells = [
        f"{float(first['train_share']):.0%}, {first['train_utterances']}",
        first["front_end"],
        str(len(mine)),
        parameters + (f" + {own:,}" if own else ""),
        f"{minutes:.1f}",
    ]
    cells += [spread(by_level(r)[level] for r in mine) for level in levels]
    return "| " + " | ".join(cells) + " |"


def filled(text):
    """A README's text with every table made anew."""
    return fill_tables(text, table_of)


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
