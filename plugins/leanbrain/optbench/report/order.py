"""Whether trials that are compared had the same weights and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from leanbrain.optbench.report.outcomes import Place
from leanbrain.optbench.report.rows import Row

__all__ = ["mixed_data", "unpaired"]

_START = -1  # in place of a step: the weights before the first one


def unpaired(
    trials: Mapping[Place, Row | None],
) -> tuple[int, list[str]]:
    """Compares the hashes of paired trials: first weights, order of the data.

    Arguments
    ---------
    trials : Mapping
        Place in the plan -> row or None. Those that differ in the optimizer
        only are paired.

    Returns
    -------
    tuple
        How many groups of at least two were compared, and a sentence for each
        group that is not paired. Trials of different lengths are compared
        over the steps that they share.
    """
    groups: dict[tuple[Any, ...], dict[str, dict[int, Any]]] = {}
    for place, row in trials.items():
        result = (row or {}).get("result") or {}
        hashes = {int(x[0]): x[1] for x in result.get("order_hash") or []}
        if result.get("init_hash") is not None:
            hashes[_START] = result["init_hash"]
        if hashes:
            groups.setdefault(place[1:], {})[place.optimizer] = hashes
    sentences, compared = [], 0
    for key, members in sorted(groups.items(), key=lambda x: repr(x[0])):
        if len(members) < 2:
            continue
        compared += 1
        odd = _odd(members)
        if odd:
            workload, variant, study, trial = key
            where = workload if variant is None else f"{workload}/{variant}"
            sentences.append(
                f"On {where}, study {study}, trial {trial}, {', '.join(odd)} "
                "began with other weights or saw other batches than most: "
                "these trials are not paired."
            )
    return compared, sentences


def mixed_data(trials: Mapping[Place, Row | None]) -> list[str]:
    """Compares the digests of the data that trials read.

    Arguments
    ---------
    trials : Mapping
        Place in the plan -> row or None.

    Returns
    -------
    list[str]
        A sentence for each workload, or variant of it, whose trials did not
        all read the same data.
    """
    groups: dict[tuple[str, str], dict[Place, str]] = {}
    for place, row in trials.items():
        digest = ((row or {}).get("result") or {}).get("data_digest")
        if digest is not None:
            key = (place.workload, place.variant or "")
            groups.setdefault(key, {})[place] = str(digest)
    sentences = []
    for (workload, variant), digests in sorted(groups.items()):
        count = Counter(digests[x] for x in sorted(digests, key=repr))
        if len(count) == 1:
            continue
        usual = count.most_common(1)[0][0]
        odd = {x for x, digest in digests.items() if digest != usual}
        names = ", ".join(sorted({x.optimizer for x in odd}))
        where = f"{workload}/{variant}" if variant else workload
        sentences.append(
            f"On {where}, {len(odd)} of {len(digests)} trials ({names}) read "
            "other data than most: their times cannot be compared."
        )
    return sentences


def _odd(members: Mapping[str, Mapping[int, Any]]) -> list[str]:
    """Optimizers whose hash at some step is not the most frequent one."""
    odd = set()
    for step in sorted({x for hashes in members.values() for x in hashes}):
        here = {k: x[step] for k, x in members.items() if step in x}
        # Sorted: of two that are equally frequent, the same one every time.
        count = Counter(str(here[k]) for k in sorted(here))
        usual = count.most_common(1)[0][0]
        odd |= {k for k, x in here.items() if str(x) != usual}
    return sorted(odd)
