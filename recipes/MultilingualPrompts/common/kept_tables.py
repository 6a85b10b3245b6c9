"""Tables and words of kept comparisons, as Markdown."""

import functools
import statistics
from collections import Counter

from leanbrain.provenance import short_commit
from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import analyse
from leanbrain.pruning.comparison.rows import commits_of, read_kept
from leanbrain.text import markdown_table, markdown_text

HOST = ("cpu", "cores", "torch", "speechbrain", "commit")


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
    """Character errors of every language."""
    return markdown_table(tables.by_language(found))


def word_errors_of(found):
    """Word errors of every language."""
    return markdown_table(tables.by_language(found, "wer"))


def spread(values):
    """Mean and standard deviation, where there are several."""
    values = [float(v) for v in values if v is not None]
    if not values:
        return "–"
    mean = f"{statistics.mean(values):.2f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.2f}"


def seeds_of_each(rows):
    """How many seeds each method has at each sparsity."""
    names = ("model", "method", "sparsity")
    return Counter(tuple(r.get(x) for x in names) for r in rows).values()


def origin(rows):
    """Where the numbers of a table come from."""
    facts = {k: ", ".join(sorted({str(r[k]) for r in rows})) for k in HOST}
    commits = ", ".join(short_commit(x) for x in commits_of(rows))
    seeds = {str(r["seed"]) for r in rows}
    what = "Mean and standard deviation over seeds"
    if len(seeds) == 1:
        what = "One seed"
    elif 1 in seeds_of_each(rows):
        what += ", or one seed alone"
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
    "wer": word_errors_of,
}
