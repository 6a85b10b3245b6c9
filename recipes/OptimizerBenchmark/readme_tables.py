#!/usr/bin/env python3
"""Keeps the figures of a finished benchmark and writes them into READMEs.

To run this recipe, do the following:
> python readme_tables.py --collect cpu_embedded <results folder>
> python readme_tables.py

The first form writes results/cpu_embedded.{csv,json,png} and .trials.csv from
the ledger of a benchmark; the second writes the tables of all of them into the
READMEs, between `<!-- optimizers: NAME -->` and `<!-- end -->`.
"""

import argparse
import math
import sys
from pathlib import Path

from leanbrain._host import user_errors
from leanbrain.chart_style import to_png
from leanbrain.checks import UserError
from leanbrain.experiments.ledger import Ledger
from leanbrain.files import atomic_path, read_json, write_json, write_text
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.report import charts, csv_files, words
from leanbrain.optbench.report.analysis import analyse
from leanbrain.optbench.report.collect import collect
from leanbrain.optbench.report.ratios import ends_of
from leanbrain.provenance import short_commit
from leanbrain.tables import read_csv
from leanbrain.text import fill_tables

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
MEASURED = FOLDER.parents[1] / "tests" / "benchmarks" / "results"
READMES = (
    FOLDER / "README.md",
    FOLDER / "CPU" / "README.md",
    FOLDER.parents[1] / "README.md",
)


def keep(name, root):
    """Keeps tables, facts and the picture of a benchmark.

    Arguments
    ---------
    name : str
        What they are called in results/.
    root : path
        The folder of the benchmark.
    """
    root = Path(root)
    rows = Ledger(root).read()
    if not rows:
        raise UserError(f"The folder {root} has no ledger with trials in it.")
    found = analyse(collect(rows, load_rules(root / "rules.yaml")))
    used = [x for kind in found.data.rows.values() for x in kind]
    facts = {
        "verdict": words.verdict(found),
        "reference": found.reference,
        "versus": {
            k: comparison_of(x)
            for k, x in found.versus.items()
            if math.isfinite(x.ratio)
        },
        "reached": {x: found.reached(x) for x in found.order},
        "relaxation_percent": found.data.rules.target.relaxation_percent,
        "rules": found.data.rules.label,
        "trials": len(found.outcomes),
        "busy_s": sum(x["seconds"] for x in used),
        "commits": sorted({x["commit"] for x in used}),
        "versions": used[-1]["versions"],
        "host": used[-1]["host"],
    }
    write_text(RESULTS / f"{name}.csv", csv_files.summary_csv(found))
    write_text(RESULTS / f"{name}.trials.csv", csv_files.trials_csv(found))
    write_json(RESULTS / f"{name}.json", facts)
    profile = charts.scores(found).charts[1]
    with atomic_path(RESULTS / f"{name}.png") as path:
        path.write_bytes(to_png(profile.draw()))


def comparison_of(one):
    """A comparison as JSON: ratio, low, high, verdict, unreached.

    Arguments
    ---------
    one : Comparison
        With the reference.

    Returns
    -------
    list
        An end of the interval is None where it is not known.
    """
    return [one.ratio, *ends_of(one), one.verdict, one.unreached]


def table_of(name):
    """What a README shows of a benchmark.

    Arguments
    ---------
    name : str
        Of the files in results/.

    Returns
    -------
    str
        Verdict, table and facts as Markdown.
    """
    rows = read_csv(RESULTS / f"{name}.csv")
    facts = read_json(RESULTS / f"{name}.json")
    workloads = list(dict.fromkeys(x["workload"] for x in rows))
    heads = ["optimizer", "score", "rank", f"time / {facts['reference']}"]
    heads += [f"{x}, s" for x in workloads]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for optimizer in dict.fromkeys(x["optimizer"] for x in rows):
        mine = {x["workload"]: x for x in rows if x["optimizer"] == optimizer}
        lines.append(line_of(optimizer, mine, workloads, facts))
    host, versions = facts["host"], facts["versions"]
    commits = ", ".join(short_commit(x) for x in facts["commits"])
    return "\n".join(
        [
            facts["verdict"],
            "",
            *lines,
            "",
            "Score and rank with 95 % intervals; time: geometric mean over "
            "studies and workloads (without variants), with its interval, a "
            "tie where that holds 1, and a bound where some of the study times "
            "are missing; seconds to the target "
            f"({facts['relaxation_percent']:g} % above the strict one), a "
            "dash where a median study did not reach it. "
            f"{facts['trials']} trials, rules {facts['rules']}; "
            f"{host['cpu']}, torch {versions['torch']}, SpeechBrain "
            f"{versions['speechbrain']}, commit {commits}.",
        ]
    )


def line_of(optimizer, mine, workloads, facts):
    """One line of the table."""
    first = mine[workloads[0]]
    cells = [
        optimizer,
        f"{float(first['score']):.2f} ({float(first['score_low']):.2f} to "
        f"{float(first['score_high']):.2f})",
        f"{first['rank']} ({first['rank_low']} to {first['rank_high']})",
        versus(facts["versus"].get(optimizer)),
    ]
    cells += [seconds(mine[x]) for x in workloads]
    return "| " + " | ".join(cells) + " |"


def versus(comparison):
    """The ratio of times to the reference, and what it means."""
    if comparison is None:
        return "-"
    ratio, low, high, verdict, unreached = comparison
    text, span = f"{ratio:.2f}", "no interval"
    if low is not None and high is not None:
        span = f"{low:.2f} to {high:.2f}"
        text += " up to the budget" if unreached else ""
    elif high is not None:
        text, span = f"at most {text}", f"at most {high:.2f}"
    elif low is not None:
        text, span = f"at least {text}", f"at least {low:.2f}"
    text += f" ({span}): {verdict}"
    if unreached:
        share = max(1, round(100 * unreached))
        text += f" ({share} % missing)"
    return text


def seconds(row):
    """Seconds to the target; in brackets where they do not count."""
    if not row["seconds"]:
        return "-"
    text = f"{float(row['seconds']):.2f}"
    return text if int(row["counts"]) else f"({text})"


def checks():
    """What was measured of the benchmark itself, as Markdown."""
    own, aa, swap = (
        read_json(MEASURED / f"{x}.json") for x in ("optbench", "aa", "swap")
    )
    overhead = 100 * max(own["overhead_share"].values())
    swapped = round(swap["share"] * swap["n"])
    return "\n".join(
        [
            f"- The CPU tier, {own['trials']} trials, took "
            f"{own['minutes']:.1f} minutes on {own['host']['cores']} cores, "
            f"{own['actual_over_estimate']['all']:.2f} of what was estimated "
            "before the start.",
            f"- Of {own['repeats']['trials']} trials that were run again, "
            f"{own['repeats']['different']} differed in any value.",
            "- Clock, audit and records take at most "
            f"{overhead:.1f} % of a step.",
            f"- A/A test: AdamW was called different from itself (other "
            "points and seeds) in "
            f"{100 * aa['called_different']['all']:.1f} % of "
            f"{aa['repeats']} comparisons.",
            f"- The swap works on {swapped} of {swap['n']} recipe files of "
            "SpeechBrain that name an optimizer of torch (commit "
            f"{swap['speechbrain_commit'][:8]}), for each of "
            f"{', '.join(swap['optimizers'])}.",
        ]
    )


def warmup():
    """How much the Conformer needs warm-up, as Markdown."""
    lines = []
    for rate, x in read_json(MEASURED / "warmup.json")["rates"].items():
        lines.append(
            f"- Rate {rate}: median error {x['median_with']:.0f} % with and "
            f"{x['median_without']:.0f} % without warm-up, better with it in "
            f"{x['better_with']} of {x['pairs']} pairs."
        )
    return "\n".join(lines)


MAKERS = {"checks": checks, "warmup": warmup}


def made(name):
    """A table of a benchmark; None where there are no figures for it."""
    if name in MAKERS:
        return MAKERS[name]()
    found = (RESULTS / f"{name}.csv").is_file()
    return table_of(name) if found else None


def filled(text):
    """A README's text with every table made anew."""
    return fill_tables(text, made, "optimizers")


def main(arguments):
    """Keeps figures if asked to, then writes the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--collect", nargs=2, metavar=("NAME", "FOLDER"))
    options = parser.parse_args(arguments)
    if options.collect:
        keep(*options.collect)
    for path in READMES:
        write_text(path, filled(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
