"""A comparison in a few sentences, made from its numbers alone."""

from __future__ import annotations

from collections.abc import Sequence

from leanbrain.pruning.comparison.kinship import kinship
from leanbrain.pruning.comparison.notes import notes
from leanbrain.pruning.comparison.points import (
    MANY,
    Findings,
    Point,
    Versus,
)
from leanbrain.pruning.comparison.tables import count, listed, percent, share

__all__ = ["details", "kinship", "notes", "reading", "verdict"]

_TIE = 1e-9


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
        nearest = max(main, key=_gap)
        sentences.append(
            f"At {percent(found.main_sparsity)} its CER differs from that of "
            f"{nearest.other.method}, the best of the others, by "
            f"{_size(nearest)}{_uneven(found, nearest)}."
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
                named = listed([_brief(x, len(versus) > MANY) for x in members])
                parts.append(f"{word} {named}.")
        parts.append(_steps(found, point, [x.other for x in versus]))
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
    drawn = (
        "resampling seeds, then utterances within each language, the same for "
        "both methods of a difference, widened as the seeds are few"
    )
    if len({x for point in found.points for x in point.seeds}) == 1:
        drawn = (
            "resampling utterances within each language, the same for both "
            "methods of a difference: they are of this seed alone, others may "
            "differ by more"
        )
    return (
        "CER is the mean over the languages, in percent of the characters of "
        "the test set; lower is better. Brackets hold relative differences "
        f"with their {percent(found.confidence)} intervals. These come from "
        f"{drawn}; each is for itself, not corrected for their number. Two "
        "methods are compared over the seeds that both have."
    )


def _best(found: Findings, rivals: Sequence[Versus]) -> str:
    """Says where the reference has the lowest error of the sparse methods."""
    text = (
        f"{found.reference} has the lowest mean CER of all sparse methods "
        f"{_where(rivals)}."
    )
    cheap = [x for x in rivals if _costs_no_more(found, x)]
    if cheap and len(cheap) < len(rivals):
        text += (
            f" Among those that take no more steps in all it has it "
            f"{_where(cheap)}."
        )
    return text


def _where(rivals: Sequence[Versus]) -> str:
    """Lists where the reference is best, and who is best elsewhere."""
    won: list[str] = []
    lost: dict[str, list[str]] = {}
    for sparsity in dict.fromkeys(x.point.sparsity for x in rivals):
        here = [x for x in rivals if x.point.sparsity == sparsity]
        best, place = max(here, key=_gap), won
        if _gap(best) >= -_TIE:
            verb = "has" if _gap(best) > _TIE else "shares"
            name = f"{best.other.method} {verb} it"
            place = lost.setdefault(name, [])
        place.append(percent(sparsity))
    others = [f"{name} at {listed(x)}" for name, x in lost.items()]
    where = f"at {listed(won)}" if won else "nowhere"
    return "; ".join([where, *others])


def _costs_no_more(found: Findings, versus: Versus) -> bool:
    """Whether a rival takes at most as many steps as the reference."""
    mine = found.steps_of(versus.point)
    other = found.steps_of(versus.other)
    return mine is not None and other is not None and other <= mine


def _gap(versus: Versus) -> float:
    """How much the reference is behind, over the seeds that both have."""
    return versus.difference.mean


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
        f"makes more.{_even_tally(found, rivals)}"
    )


def _even_tally(found: Findings, rivals: Sequence[Versus]) -> str:
    """Counts those of equal steps again, where there are others."""
    even = [
        x
        for x in rivals
        if found.steps_of(x.point) == found.steps_of(x.other) is not None
    ]
    if len(even) == len(rivals):
        return ""
    if not even:
        return " None of the others takes as many steps in all."
    lower = sum(x.difference.mean < 0.0 for x in even)
    surely = sum(x.lower for x in even)
    higher = sum(x.higher for x in even)
    return (
        f" Of the {len(even)} with methods of as many steps in all, it makes "
        f"fewer errors in {lower or 'none'}, surely in {surely or 'none'}; "
        f"surely more in {higher or 'none'}."
    )


def _against_dense(found: Findings) -> str:
    """Compares with the best dense model at the main sparsity.

    One that trained as long goes before: else training is credited to pruning.
    """
    dense = [
        x
        for x in found.versus
        if not x.other.sparsity and x.point.sparsity == found.main_sparsity
    ]
    if not dense:
        return ""
    best = max(dense, key=lambda x: (not _uneven(found, x), _gap(x)))
    even = f" (both in {count(found.steps_of(best.point))} steps in all)"
    return (
        f"From that of {best.other.method}, without sparsity, it differs by "
        f"{_size(best)}{_uneven(found, best) or even}."
    )


def _uneven(found: Findings, versus: Versus) -> str:
    """Says how many steps both take, where these differ or are not known."""
    mine, other = found.steps_of(versus.point), found.steps_of(versus.other)
    if mine == other is not None:
        return ""
    return f" (in {count(mine)} against {count(other)} steps in all)"


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


def _steps(found: Findings, point: Point, others: Sequence[Point]) -> str:
    """Compares the steps of all runs that a method takes."""
    mine = found.steps_of(point)
    costs = [(x.method, found.steps_of(x)) for x in others]
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
        # Those that differ are always named.
        if len(known) > MANY and named and word == "as many as":
            named = [f"{len(named)} of the others"]
        if named:
            parts.append(f"{word} {listed(named)}")
    return f"It takes {count(mine)} steps in all, {', '.join(parts)}."


def _undecided(versus: Versus) -> bool:
    """Whether the interval holds 0."""
    return not (versus.lower or versus.higher)
