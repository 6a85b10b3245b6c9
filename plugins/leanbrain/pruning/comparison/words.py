"""A comparison in a few sentences, made from its numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from leanbrain.pruning.comparison.clustering import (
    closest_in,
    differs,
    mean_overlap,
    pair_overlaps,
)
from leanbrain.pruning.comparison.findings import (
    MANY,
    Findings,
    Point,
    Versus,
)
from leanbrain.pruning.comparison.tables import count, percent, share

__all__ = ["details", "kinship", "notes", "reading", "verdict"]


def verdict(found: Findings) -> str:
    """Says where the reference wins, by how much, and where it does not.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    str
        One paragraph.
    """
    rivals = [x for x in found.versus if x.other.sparsity]
    if not rivals:
        name = found.reference
        return f"There is no other sparse method to compare {name} with."
    sentences = [_best(found, rivals), _tally(found, rivals)]
    main = [x for x in rivals if x.point.sparsity == found.main_sparsity]
    if main:
        nearest = min(main, key=lambda x: x.other.mean)
        sentences.append(
            f"At {percent(found.main_sparsity)} its CER differs from that of "
            f"{nearest.other.method}, the best of the others, by "
            f"{_size(nearest)}."
        )
    return " ".join([*sentences, _against_dense(found)]).rstrip()


def details(found: Findings) -> list[str]:
    """Says the same for each sparsity, with every rival and the steps.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        One paragraph per sparsity.
    """
    texts = []
    for sparsity in found.sparsities:
        versus = [x for x in found.versus if x.point.sparsity == sparsity]
        if not versus:
            continue
        point = versus[0].point
        parts = [
            f"At {percent(sparsity)}: {point.mean:.2f} % character errors."
        ]
        groups = (
            ("Fewer than", [x for x in versus if x.lower]),
            ("Undecided against", [x for x in versus if _undecided(x)]),
            ("More than", [x for x in versus if x.higher]),
        )
        for word, members in groups:
            if members:
                listed = _listed(
                    [_brief(x, len(versus) > MANY) for x in members]
                )
                parts.append(f"{word} {listed}.")
        parts.append(_steps(point, [x.other for x in versus]))
        texts.append(" ".join(parts).rstrip())
    return texts


def reading(found: Findings) -> str:
    """Says how the numbers of this comparison are to be read.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    str
        One paragraph.
    """
    return (
        "CER is the mean over the languages, in percent of the characters of "
        "the test set; lower is better. Brackets hold relative differences "
        f"with their {percent(found.confidence)} intervals. These come from "
        "resampling seeds, then utterances within each language, the same for "
        "both methods of a difference, widened as the seeds are few; each is "
        "for itself, not corrected for their number."
    )


def kinship(found: Findings) -> list[str]:
    """Says which languages share most of their pathways.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        One sentence per method whose masks differ, at the sparsity where most
        methods were run.
    """
    texts = []
    for point in found.at(found.main_sparsity):
        runs = found.of_runs(found.kept.overlap, point)
        if not runs:
            continue
        names, matrix = mean_overlap(runs)
        pairs = list(pair_overlaps(names, matrix).items())
        if not differs(matrix) or len(pairs) < 2:
            continue
        (near, most), (far, least) = pairs[0], pairs[-1]
        seeds = closest_in(runs, near)
        texts.append(
            f"{point.method}: {' and '.join(near)} share most ({most:.2f}; "
            f"more than any other pair in {seeds} of {len(runs)} seeds), "
            f"{' and '.join(far)} least ({least:.2f})."
        )
    return texts


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
    texts = list(found.problems)
    seeds = sorted({x for point in found.points for x in point.seeds})
    if len(seeds) < 3:
        texts.append(
            f"There are only {len(seeds)} seeds: how much runs vary is hardly "
            "known, and the intervals may be too narrow."
        )
    for point in found.points:
        missing = [str(x) for x in seeds if x not in point.seeds]
        if missing:
            texts.append(
                f"{point.method} at {percent(point.sparsity)} lacks seed "
                f"{', '.join(missing)}."
            )
    commits = {str(x.get("commit")) for p in found.points for x in p.rows}
    if len(commits) > 1:
        texts.append(
            f"The runs are of {len(commits)} commits: rows.csv says which."
        )
    return texts


def _best(found: Findings, rivals: Sequence[Versus]) -> str:
    """Says where the reference has the lowest error of the sparse methods."""
    won: list[str] = []
    lost: dict[str, list[str]] = {}
    for sparsity in dict.fromkeys(x.point.sparsity for x in rivals):
        here = [x for x in rivals if x.point.sparsity == sparsity]
        best = min(here, key=lambda x: x.other.mean).other
        mine = here[0].point.mean < best.mean
        place = won if mine else lost.setdefault(best.method, [])
        place.append(percent(sparsity))
    others = [f"{name} has it at {_listed(x)}" for name, x in lost.items()]
    where = f"at {_listed(won)}" if won else "at no sparsity"
    return (
        f"{found.reference} has the lowest mean CER of all sparse methods "
        f"{'; '.join([where, *others])}."
    )


def _tally(found: Findings, rivals: Sequence[Versus]) -> str:
    """Counts the comparisons with sparse methods."""
    lower = sum(x.difference.mean < 0.0 for x in rivals)
    surely = [-x.difference.relative for x in rivals if x.lower]
    higher = sum(x.higher for x in rivals)
    size = ""
    if surely:
        ends = dict.fromkeys(f"{100 * x(surely):.1f}" for x in (min, max))
        size = f", by {' to '.join(ends)} % relative"
    return (
        f"In {lower} of {len(rivals)} comparisons at equal sparsity it makes "
        f"fewer errors than the other method, in {len(surely) or 'none'} of "
        f"them surely (the {percent(found.confidence)} interval of the paired "
        f"difference leaves out 0){size}; in {higher or 'none'} it surely "
        "makes more."
    )


def _against_dense(found: Findings) -> str:
    """Compares with the best dense model at the main sparsity."""
    dense = [
        x
        for x in found.versus
        if not x.other.sparsity and x.point.sparsity == found.main_sparsity
    ]
    if not dense:
        return ""
    best = min(dense, key=lambda x: x.other.mean)
    return (
        f"From that of {best.other.method}, without sparsity, it differs by "
        f"{_size(best)}."
    )


def _size(versus: Versus) -> str:
    """Writes a difference: relative, in points, with both intervals."""
    found = versus.difference
    low, high = 100 * found.relative_low, 100 * found.relative_high
    return (
        f"{share(found.relative)} relative ({low:+.1f} to {high:+.1f}), "
        f"{found.mean:+.2f} points ({found.low:+.2f} to {found.high:+.2f})"
    )


def _brief(versus: Versus, short: bool) -> str:
    """Writes who is compared and the relative difference."""
    found = versus.difference
    low, high = 100 * found.relative_low, 100 * found.relative_high
    ends = "" if short else f", {low:+.1f} to {high:+.1f}"
    return f"{versus.other.method} ({share(found.relative)}{ends})"


def _steps(point: Point, others: Sequence[Point]) -> str:
    """Compares the steps of all runs that a method takes."""
    mine = point.average("total_steps")
    costs = [(x.method, x.average("total_steps")) for x in others]
    known = [(name, x) for name, x in costs if x is not None]
    if mine is None or not known:
        return ""
    parts = []
    for word, members in (
        ("fewer than", [(k, x) for k, x in known if x > mine]),
        ("as many as", [(k, x) for k, x in known if x == mine]),
        ("more than", [(k, x) for k, x in known if x < mine]),
    ):
        named = [
            name if x == mine else f"{name} ({count(x)})" for name, x in members
        ]
        if len(known) > MANY and named:
            named = [f"{len(named)} of the others"]
        if named:
            parts.append(f"{word} {_listed(named)}")
    return f"It takes {count(mine)} steps in all, {', '.join(parts)}."


def _undecided(versus: Versus) -> bool:
    """Whether the interval holds 0."""
    return not (versus.lower or versus.higher)


def _listed(names: Sequence[str]) -> str:
    """Joins names as a sentence does.

    Example
    -------
    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    *start, last = names
    return f"{', '.join(start)} and {last}" if start else last
