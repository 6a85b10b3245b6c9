"""What a pruner does about losses that are too high: it holds, or stops."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leanbrain.checks import check_known
from leanbrain.pruning.guard.words import (
    beside_sentence,
    held_sentence,
    high_sentence,
    short_sentence,
    stop_error,
    unseen_sentence,
)
from leanbrain.pruning.ranks import is_first_rank, sums_over_ranks

if TYPE_CHECKING:
    from leanbrain.masking.maskset import MaskSet
    from leanbrain.pruning.guard.guard import LossWatch
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = [
    "close_step",
    "may_switch_off",
    "not_held",
    "progress_of",
    "say_end",
    "say_short",
    "say_unseen",
]

logger = logging.getLogger(__name__)

# Shares of `factor` from which on the end of a run is worth a sentence: beside
# the pathway's own best, and beside that of the others.
HIGH, HIGH_BESIDE = 0.3, 0.5
UNSEEN = 0.1  # share of the weights that the last step may take away


def may_switch_off(pruner: AdaptivePruner) -> None:
    """Does without the guard where the environment says so."""
    if pruner.guard is None:
        return
    named = os.environ.get("LEANBRAIN_GUARD", "on")
    if check_known("LEANBRAIN_GUARD", named, ("on", "off")) == "off":
        pruner.guard = None
        if is_first_rank():
            logger.info(
                "LEANBRAIN_GUARD is off: whatever losses do, it prunes."
            )


def close_step(pruner: AdaptivePruner) -> None:
    """Takes the losses of a step that is done, before masks change.

    Arguments
    ---------
    pruner : AdaptivePruner
        Its step is counted.

    Raises
    ------
    UserError
        If a pathway is broken and its loss has stopped to fall, or if it is
        broken at the end of the run.
    """
    watch, step = pruner.guard, pruner.step
    if watch is None:
        return
    losses = _losses_of_step(pruner, watch)
    for pathway, loss in losses.items():
        dense = not watch.levels.knows(pathway) and _is_dense(pruner, pathway)
        watch.levels.note(pathway, loss, dense)
    if not pruner.started:
        return
    stuck = watch.stuck(step, losses)
    broken = [] if stuck is None else [stuck]
    if step == pruner.plan.total_steps:
        broken = [p for p in pruner.pathways if watch.is_broken(p)]
    for pathway in broken:
        # Dense training that goes wrong is not the guard's business.
        if pathway in pruner.settled and pruner.masks.density(pathway) < 1:
            raise stop_error(pruner, watch, pathway)


def not_held(
    pruner: AdaptivePruner, due: Sequence[str], final: bool
) -> list[tuple[str, int]]:
    """The pathways that are updated now, of those whose turn it is.

    Arguments
    ---------
    pruner : AdaptivePruner
        At rest.
    due : sequence of str
        The pathways.
    final : bool
        Whether masks stay afterwards.

    Returns
    -------
    list of tuple
        Name of each, and the steps by which it is behind the schedule.
    """
    watch = pruner.guard
    # Where weights do not learn, masks alone can mend what is broken.
    if watch is None or not pruner.train_weights:
        return [(pathway, 0) for pathway in due]
    chosen, held = [], []
    for pathway in due:
        lag = watch.lag[pathway]
        if pathway not in pruner.settled:
            watch.begins(pruner.step, pathway)
        elif watch.holds(
            pruner.step,
            pathway,
            # To count weights takes time: only where it matters.
            rises=not watch.is_calm(pathway, final)
            and _rises(pruner, pathway, lag, final),
            exchanges=not pruner.selector.only_prunes,
            final=final,
        ):
            # What a broken model has gathered is not what is worth keeping.
            # What stays all the same is to be the same on all ranks.
            pruner.scores.reduce(False, pathway)
            pruner.scores.reset(pathway)
            if watch.held[pathway] == pruner.step:  # not since earlier
                held.append(pathway)
            continue
        chosen.append((pathway, watch.lag[pathway]))
    if held and not final:
        _warn(pruner, "held", held_sentence(pruner, watch, held))
    return chosen


def progress_of(
    pruner: AdaptivePruner, step: int, lag: int, final: bool
) -> float:
    """How far a pathway is that is some steps behind the schedule."""
    if final and not lag:
        return 1.0
    return pruner.plan.progress(step - lag)


def say_short(pruner: AdaptivePruner) -> None:
    """Says at the freeze which pathways are not as sparse as planned."""
    watch = pruner.guard
    if watch is None:
        return
    for pathway in pruner.pathways:
        if watch.lag[pathway] and _rises(pruner, pathway, 0, final=True):
            _warn(pruner, "short", short_sentence(pruner, watch, pathway))


def say_end(pruner: AdaptivePruner) -> None:
    """Says after training if a loss is still far above what it was."""
    watch = pruner.guard
    if watch is None or not pruner.started:
        return
    levels = watch.levels
    worst = max(pruner.pathways, key=levels.ratio)
    if watch.is_broken(worst, HIGH):
        _warn(pruner, "high", high_sentence(pruner, watch, worst))
    worst = max(pruner.pathways, key=levels.beside_others)
    if levels.beside_others(worst) >= HIGH_BESIDE * watch.guard.factor:
        _warn(pruner, "high", beside_sentence(pruner, watch, worst))


def say_unseen(pruner: AdaptivePruner, before: MaskSet) -> None:
    """Says so if no step follows on the last masks, which took much away."""
    if pruner.guard is None or pruner.step < pruner.plan.total_steps:
        return
    masks = pruner.masks
    shares = {
        p: masks.count(p) / max(1, before.count(p)) for p in masks.pathways
    }
    worst = min(shares, key=lambda pathway: shares[pathway])
    if shares[worst] < 1.0 - UNSEEN:
        removed = 1.0 - shares[worst]
        _warn(pruner, "unseen", unseen_sentence(pruner, worst, removed))


def _losses_of_step(
    pruner: AdaptivePruner, watch: LossWatch
) -> dict[str, float]:
    """Mean loss of each pathway that was in the step, over all ranks."""
    own = [watch.pending.get(p, [0.0, 0.0]) for p in pruner.pathways]
    watch.pending = {}
    flat = sums_over_ranks([x for entry in own for x in entry], pruner.device)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {
        pathway: total / count
        for pathway, (total, count) in zip(pruner.pathways, pairs, strict=True)
        if count
    }


def _is_dense(pruner: AdaptivePruner, pathway: str) -> bool:
    """Whether a pathway had its weights, up to a twentieth, in this step."""
    settled = pathway in pruner.settled
    return not settled or pruner.masks.density(pathway) >= 0.95


def _rises(pruner: AdaptivePruner, pathway: str, lag: int, final: bool) -> bool:
    """Whether the plan wants fewer weights of a pathway than it has."""
    progress = progress_of(pruner, pruner.step, lag, final)
    planned = float(pruner.plan.schedule(progress))
    wanted = (1.0 - planned) * pruner.masks.numel()
    return pruner.masks.count(pathway) > wanted + 1.0


def _warn(pruner: AdaptivePruner, what: str, sentence: str) -> None:
    """Says it once for all ranks, in the log and the history."""
    if is_first_rank():
        logger.warning("%s", sentence)
    if pruner.monitor is not None:
        pruner.monitor.on_guard(pruner.step, what, sentence)
