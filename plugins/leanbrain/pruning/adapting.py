"""What a mask update does, and the last one, after which masks stay."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    before = pruner.masks.clone()
    step = pruner.step if at is None else at
    progress = 1.0 if final else pruner.plan.progress(step)
    sparsity = float(pruner.plan.schedule(progress))
    for pathway in due:
        first = pathway not in pruner.settled
        if not final and not pruner.scores.seen(first, pathway, 1):
            logger.warning(
                "No batch of %s was seen in its turn: pruned by saliency "
                "alone at step %d.",
                pathway,
                pruner.step,
            )
        pruner.selector.renew(pathway, sparsity, progress, first, final)
        pruner.settled.add(pathway)
    pruner.selector.revive(before.union(), pruner.owners, pruner.keep_dormant)
    # To rest with the new masks. `refresh` would read all parameters once more,
    # which the step before has done.
    pruner.switch.leave()
    if pruner.rewind is not None and lost_weights(before, pruner.masks):
        pruner.rewind.restore(pruner.switch, pruner.optimizers)
    if is_distributed():
        agree_on_digest(pruner.masks.digest())
    if pruner.monitor is not None:
        pruner.monitor.on_update(
            pruner.step, due, before, pruner.masks, pruner.targets, sparsity
        )


def freeze(pruner: AdaptivePruner) -> None:
    """The last update, at the final sparsity; masks stay from here.

    Arguments
    ---------
    pruner : AdaptivePruner
        At rest.
    """
    unsettled = [p for p in pruner.pathways if p not in pruner.settled]
    if unsettled:
        logger.warning(
            "No batch of %s was seen in time: pruned by saliency alone.",
            ", ".join(unsettled),
        )
    if pruner.update is not None or unsettled:
        update_masks(pruner, pruner.pathways, final=True)
    pruner.frozen = True
    pruner.scores.reset()
    pruner.log.frozen()
