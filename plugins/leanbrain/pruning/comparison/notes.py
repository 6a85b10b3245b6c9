"""What a reader must know before believing the numbers of a comparison."""

from __future__ import annotations

from leanbrain.pruning.comparison.method import START
from leanbrain.pruning.comparison.points import Findings
from leanbrain.pruning.comparison.rows import commits_of
from leanbrain.pruning.comparison.tables import count, listed, percent

__all__ = ["notes"]


def notes(found: Findings) -> list[str]:
    """Lists what a reader must know before believing the numbers.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        Sentences.
    """
    texts = [*found.problems, *_seeds(found), *_commits(found)]
    starts = [x.average("start_steps") for x in found.points]
    if found.mixed and None not in starts:
        scratch = [
            x.method for x in found.points if not x.average("start_steps")
        ]
        longest = max(x for x in starts if x is not None)
        texts.append(
            f"{listed(list(dict.fromkeys(scratch)))} are trained from random "
            f"weights, all others from a dense start of {count(longest)} "
            "steps: where steps are compared, those of the start are included."
        )
    return texts


def _seeds(found: Findings) -> list[str]:
    """Says which seeds are few, or lacking."""
    texts = []
    seeds = sorted({x for point in found.points for x in point.seeds})
    if len(seeds) < 3:
        number = f"are only {len(seeds)} seeds"
        if len(seeds) == 1:
            number = "is only one seed"
        texts.append(
            f"There {number}: how much runs vary is hardly known, and the "
            "intervals may be too narrow."
        )
    for point in found.points:
        missing = [str(x) for x in seeds if x not in point.seeds]
        if missing:
            texts.append(
                f"{point.method} at {percent(point.sparsity)} lacks seed "
                f"{', '.join(missing)}."
            )
    return texts


def _commits(found: Findings) -> list[str]:
    """Says which results are of several states of the code."""
    commits = commits_of(x for point in found.points for x in point.rows)
    if len(commits) < 2:
        return []
    texts = [f"The runs are of {len(commits)} commits: rows.csv says which."]
    several: dict[str, list[str]] = {}
    for point in found.points:
        parts = {len(commits_of([x])) for x in point.rows}
        if max(parts) > 1 and point.method != START:
            place = several.setdefault(point.method, [])
            place.append(percent(point.sparsity))
    if several:
        names = [f"{x} ({', '.join(y)})" for x, y in several.items()]
        texts.append(
            "With the runs that they start from, these are of several commits "
            f"within one row: {listed(names)}."
        )
    unlike = [
        f"{x.method} at {percent(x.sparsity)}"
        for x in found.points
        if len({str(y.get("commit")) for y in x.rows}) > 1
    ]
    if unlike:
        texts.append(f"Of different commits by seed are {listed(unlike)}.")
    return texts
