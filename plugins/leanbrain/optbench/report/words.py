"""The result in a few sentences; a tie is called a tie."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from leanbrain.optbench.report import machines
from leanbrain.optbench.report.findings import Findings
from leanbrain.optbench.report.ratios import bound_of, ratio_of, span_of
from leanbrain.optbench.report.tuned import uneven

__all__ = ["notes", "protocol", "verdict"]

_ORDERLY = ("reached", "not reached", "too late")
_RULINGS = {
    "faster": "it is faster than {other}",
    "slower": "it is slower than {other}",
    "tie": "it ties with {other}",
    "undecided": "whether it is faster than {other} is undecided",
}


def verdict(found: Findings) -> str:
    """Says in one paragraph which optimizer is first, and how surely.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    str
        A few sentences.
    """
    data = found.data
    if not data.optimizers:
        return "The ledger holds no trials that these rules score."
    if not any(found.scores[x].score > 0 for x in found.order):
        return (
            "No optimizer reached the target of any workload as the rules ask "
            f"for, so there is nothing to rank. {_gaps(found)}"
        ).rstrip()
    sentences = [_lead(found)]
    sentences += [
        _against(found, x) for x in found.order if _is_asked(found, x)
    ]
    ties = [k for k, x in found.comparisons.items() if x.verdict == "tie"]
    if len(ties) > 1:
        sentences.append(
            f"In all {len(ties)} of {len(found.order) - 1} others tie with it: "
            f"{', '.join(ties)}."
        )
    return " ".join([*sentences, _gaps(found)]).rstrip()


def notes(found: Findings) -> list[str]:
    """Lists what a reader must know before believing the numbers."""
    problems = [*found.problems, *found.data.problems]
    count = Counter(x.status for x in found.outcomes)
    badly = {x: n for x, n in sorted(count.items()) if x not in _ORDERLY}
    if badly:
        kinds = ", ".join(
            f"{n} {x.replace('_', ' ')}" for x, n in badly.items()
        )
        problems.append(
            f"{_trials(sum(badly.values()))} did not end well ({kinds}) and "
            "count as not reached, with the reasons below."
        )
    flagged = sum(x.flagged for x in found.outcomes)
    if flagged:
        problems.append(
            f"{_trials(flagged)} took over 20 % more or less time than the "
            "calibration says; they are listed below."
        )
    return [
        *problems,
        *_long_evaluations(found),
        *uneven(found),
        *_machines(found),
    ]


def protocol(found: Findings) -> str:
    """Says how the scores come about."""
    data, rules = found.data, found.data.rules
    percent = rules.target.relaxation_percent
    target = (
        "the target"
        if not percent
        else f"the target with its error relaxed by {percent:g} %"
    )
    unit = (
        "seconds on its clock, which stands still during evaluation"
        if rules.time_unit == "wall"
        else "steps times the calibrated cost of a step"
    )
    text = (
        f"Rules {rules.label}. A trial's time is when an evaluation first "
        f"meets {target}, in {unit}; an optimizer's time on a workload is the "
        f"median over {rules.studies} studies of "
    )
    if rules.trials_per_study > 1:
        text += f"the fastest of {rules.trials_per_study} trials. "
    else:
        text += "one trial each. "
    text += (
        "The score is the mean over workloads of how near this is to the "
        f"fastest: 1 for the fastest itself, 0 from {rules.max_ratio:g} times "
        "its time on. "
    )
    if rules.variants and any(data.variants.values()):
        text += (
            "A workload counts only for optimizers that reach the targets of "
            f"its variants, too, within {rules.max_ratio:g} times the fastest "
            "there. "
        )
    if rules.variants:
        text += (
            "Variants enter nothing but the score and the rank: speed-up, "
            f"score against {found.reference}, comparisons and the number of "
            "targets reached are those of the workloads themselves. "
        )
    return text + (
        "Scores depend on who takes part; the speed-up over "
        f"{found.reference} does not."
    )


def _gaps(found: Findings) -> str:
    """Says that trials or variants are missing, if any are."""
    missing = sum(x.status == "missing" for x in found.outcomes)
    reasons = []
    if missing:
        reasons.append(
            f"{missing} of {len(found.outcomes)} trials are missing and count "
            "as not reached"
        )
    if waiting := found.data.waiting:
        reasons.append(
            f"the variants of {', '.join(waiting)}, which the rules ask for, "
            "were not run yet and may take away what counts here"
        )
    if not reasons:
        return ""
    return f"This is not the last word: {'; '.join(reasons)}."


def _long_evaluations(found: Findings) -> list[str]:
    """Says where evaluation takes more time than the rules provide for."""
    most = found.data.rules.eval_share
    shares = {x: found.evaluation_share(x) for x in found.data.workloads}
    return [
        f"Evaluation took {100 * share:.0f} % of the time of the trials on "
        f"{workload}, the rules provide for {100 * most:g} % at most: it is "
        "not timed, and fewer evaluations would do."
        for workload, share in shares.items()
        if share is not None and share > most
    ]


def _machines(found: Findings) -> list[str]:
    """Says what several kinds of machines mean for the numbers."""
    rows = [x for by in found.data.rows.values() for x in by]
    count = len(machines.kinds(rows))
    if count < 2:
        return []
    start = f"The trials ran on {count} kinds of machines: "
    if found.data.rules.time_unit == "wall":
        return [
            start + "times are those of each trial's own clock and cannot be "
            "compared between machines."
        ]
    return [
        start + "a time is the number of steps, which may differ a little "
        "between machines, times the cost of a step, of each workload measured"
        " on machines of one kind only."
    ]


def _lead(found: Findings) -> str:
    """Names who is first."""
    data, (first, *_) = found.data, found.order
    share = f"{found.wins(first)} of {len(data.workloads)} workloads"
    one = found.scores[first]
    return (
        f"{first} has the highest score, {one.score:.2f} of 1 "
        f"({100 * found.confidence:.0f} % interval {one.low:.2f} to "
        f"{one.high:.2f}); "
        f"it is the fastest on {share}."
    )


def _is_asked(found: Findings, name: str) -> bool:
    """Whether the paragraph compares the first with this one."""
    nearest = found.order[1] if len(found.order) > 1 else None
    asked = name in (nearest, found.reference) and name != found.order[0]
    return asked and name in found.comparisons


def _against(found: Findings, other: str) -> str:
    """Compares the first with another one."""
    one: Any = found.comparisons[other]
    span = (
        f"ratio of times {ratio_of(one)}, "
        f"{100 * found.confidence:.0f} % interval {span_of(one)}"
    )
    if bound := bound_of(one):
        span += f", {bound}"
    if not math.isfinite(one.ratio):
        span = "one of the two reached no common target"
    elif found.data.rules.variants:
        span += " (on the workloads themselves, without variants)"
    if one.verdict == "tie":
        return f"Its lead over {other} is a tie: {span}."
    if one.verdict == "undecided":
        return f"Its lead over {other} is undecided: {span}."
    ruling = _RULINGS[one.verdict].format(other=other)
    return f"{ruling[0].upper()}{ruling[1:]}: {span}."


def _trials(count: int) -> str:
    """Writes a count of trials."""
    return "1 trial" if count == 1 else f"{count} trials"
