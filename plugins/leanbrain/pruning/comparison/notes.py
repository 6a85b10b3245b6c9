"""What a reader must know before believing the numbers of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from leanbrain.pruning.comparison.method import START
from leanbrain.pruning.comparison.points import Findings, Point
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
            x.method
            for x in found.points
            if x.is_trained and not x.average("start_steps")
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
    lacking: dict[str, list[Point]] = {}
    for point in found.points:
        missing = [str(x) for x in seeds if x not in point.seeds]
        if missing:
            lacking.setdefault(", ".join(missing), []).append(point)
    return texts + [
        f"Seed {missing} is not among the runs of {_named(points)}."
        for missing, points in lacking.items()
    ]


def _commits(found: Findings) -> list[str]:
    """Says which results are of several states of the code."""
    commits = commits_of(x for point in found.points for x in point.rows)
    if len(commits) < 2:
        return []
    texts = [
        f"The runs are of {len(commits)} commits: each row of the CSV says "
        "which."
    ]
    trained = [x for x in found.points if x.method != START]
    several = [
        x for x in trained if max(len(commits_of([y])) for y in x.rows) > 1
    ]
    if several:
        texts.append(
            "With the runs that they start from, these are of several commits "
            f"within one row: {_named(several, trained)}."
        )
    unlike = [
        x for x in trained if len({str(y.get("commit")) for y in x.rows}) > 1
    ]
    if unlike:
        texts.append(
            f"Of different commits by seed: {_named(unlike, trained)}."
        )
    return texts


def _named(points: Sequence[Point], among: Sequence[Point] = ()) -> str:
    """Lists methods, each with its sparsities; or says that it is all."""
    if len(points) > 1 and len(points) == len(among):
        return "all"
    places: dict[str, list[str]] = {}
    for point in points:
        place = places.setdefault(point.method, [])
        place.append(percent(point.sparsity))
    return listed([f"{x} ({', '.join(y)})" for x, y in places.items()])
