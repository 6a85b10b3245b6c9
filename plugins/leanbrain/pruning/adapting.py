"""What a mask update does, and the last one, after which masks stay."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leanbrain.pruning.guard.backing_off import (
    not_held,
    progress_of,
    say_short,
    say_unseen,
)
from leanbrain.pruning.ranks import agree_on_digest, is_distributed
from leanbrain.pruning.rewinding import lost_weights

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["freeze", "update_masks"]

logger = logging.getLogger(__name__)


def update_masks(
    pruner: AdaptivePruner,
    due: Sequence[str],
    final: bool = False,
    at: int | None = None,
) -> None:
    """New masks for some pathways, at the sparsity of the plan.

    Those that the guard holds keep theirs; when it no longer does, their
    schedule goes on where it was.

    Arguments
    ---------
    pruner : AdaptivePruner
        Started and at rest.
    due : sequence of str
        The pathways.
    final : bool
        Whether these are the masks that stay.
    at : int, optional
        The step whose sparsity they get; default: the present one.
    """
    # Takes what was written to the parameters, once for all pathways.
    pruner.switch.leave()
    chosen = not_held(pruner, due, final)
    if not chosen:
        return
    before = pruner.masks.clone()
    step = pruner.step if at is None else at
    # All before any of them: scores of one may go by those of the others.
    for pathway, _ in chosen:
        pruner.scores.reduce(pathway not in pruner.settled, pathway)
    for pathway, lag in chosen:
        progress = progress_of(pruner, step, lag, final)
        sparsity = float(pruner.plan.schedule(progress))
        first = pathway not in pruner.settled
        if not pruner.scores.seen(first, pathway, 1):
            _say_unheard(pruner, pathway, first, final)
        pruner.selector.renew(pathway, sparsity, progress, first, final)
        pruner.settled.add(pathway)
    pruner.selector.revive(before.union(), pruner.owners, pruner.keep_dormant)
    # To rest with the new masks. `refresh` would read all parameters once more,
    # which the step before has done.
    pruner.switch.leave()
    if pruner.rewind is not None and lost_weights(before, pruner.masks):
        pruner.rewind.restore(pruner.switch, pruner.optimizers)
        if pruner.guard is not None:
            pruner.guard.levels.rewind()
    if is_distributed():
        agree_on_digest(pruner.masks.digest())
    if pruner.monitor is not None:
        planned = float(
            pruner.plan.schedule(progress_of(pruner, step, 0, final))
        )
        updated = [pathway for pathway, _ in chosen]
        pruner.monitor.on_update(
            pruner.step, updated, before, pruner.masks, pruner.targets, planned
        )


def freeze(pruner: AdaptivePruner) -> None:
    """The last update, at the final sparsity; masks stay from here.

    Arguments
    ---------
    pruner : AdaptivePruner
        At rest.
    """
    settled = pruner.settled.issuperset(pruner.pathways)
    if pruner.update is not None or not settled:
        before = pruner.masks.clone()
        update_masks(pruner, pruner.pathways, final=True)
        say_unseen(pruner, before)
    say_short(pruner)
    pruner.frozen = True
    pruner.scores.reset()
    pruner.log.frozen()


def _say_unheard(
    pruner: AdaptivePruner, pathway: str, first: bool, final: bool
) -> None:
    """Says that nothing was learned of a pathway; at last, since it began."""
    if not final:
        logger.warning(
            "No batch of %s was seen in its turn: pruned by saliency alone at "
            "step %d.",
            pathway,
            pruner.step,
        )
    elif first:
        logger.warning(
            "No batch of %s was seen in time: pruned by saliency alone.",
            pathway,
        )
