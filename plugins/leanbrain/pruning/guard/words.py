"""The sentences of the guard: facts of one pathway, no guess at a cause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from leanbrain.checks import UserError

if TYPE_CHECKING:
    from leanbrain.pruning.guard.guard import LossWatch
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = [
    "beside_sentence",
    "held_sentence",
    "high_sentence",
    "short_sentence",
    "stop_error",
    "unseen_sentence",
]


def held_sentence(
    pruner: AdaptivePruner, watch: LossWatch, held: Sequence[str]
) -> str:
    """That masks are left as they are."""
    worst = max(pruner.pathways, key=watch.levels.ratio)
    return (
        f"Masks of {', '.join(held)} are held at sparsity "
        f"{_sparsity(pruner, held[0])} from step {pruner.step:,} on, until "
        f"losses are lower: {_loss(watch, worst)}."
    )


def short_sentence(
    pruner: AdaptivePruner, watch: LossWatch, pathway: str
) -> str:
    """That the planned sparsity is not reached."""
    planned = float(pruner.plan.schedule(1.0))
    return (
        f"{pathway} stays at sparsity {_sparsity(pruner, pathway)} of "
        f"{planned:.2%} planned: its masks were held for "
        f"{watch.lag[pathway]:,} steps, in which its loss was up to "
        f"{watch.worst[pathway]:.3g} "
        f"(reference {watch.levels.reference(pathway):.3g})."
    )


def high_sentence(
    pruner: AdaptivePruner, watch: LossWatch, pathway: str
) -> str:
    """That the run ends with a loss far above what it was."""
    return (
        f"Training ended at step {pruner.step:,} with a high loss, "
        f"at sparsity {_sparsity(pruner, pathway)}: {_loss(watch, pathway)}."
    )


def beside_sentence(
    pruner: AdaptivePruner, watch: LossWatch, pathway: str
) -> str:
    """That one that was never seen without masks is far above the others."""
    levels = watch.levels
    return (
        f"Training ended at step {pruner.step:,} with a high loss, "
        f"at sparsity {_sparsity(pruner, pathway)}: "
        f"{levels.level(pathway):.3g} of {pathway}, which was not seen before "
        f"its masks, {levels.beside_others(pathway):.1f} times the "
        f"reference {levels.common():.3g} of the others."
    )


def unseen_sentence(
    pruner: AdaptivePruner, pathway: str, removed: float
) -> str:
    """That nothing was learned with the last masks."""
    return (
        f"The last step, {pruner.step:,}, removed {removed:.2%} of the weights "
        f"of {pathway}: no training followed, and no loss tells whether the "
        "model is still usable (`heal` keeps steps for it)."
    )


def stop_error(
    pruner: AdaptivePruner, watch: LossWatch, pathway: str
) -> UserError:
    """That there is nothing left to train on."""
    since = watch.since(pathway)
    fell = f", too high since step {since + 1:,}" if since is not None else ""
    return UserError(
        f"Training stops at step {pruner.step:,} of "
        f"{pruner.plan.total_steps:,}, at sparsity "
        f"{_sparsity(pruner, pathway)}, since a loss must fall again after "
        f"pruning, got {_loss(watch, pathway)}{fell} (lower `sparsity` or the "
        "learning rate, let sparsity rise over more steps, or train longer "
        "with final masks: `heal`)."
    )


def _loss(watch: LossWatch, pathway: str) -> str:
    """The loss of a pathway, beside what it was."""
    levels = watch.levels
    return (
        f"{levels.level(pathway):.3g} of {pathway}, "
        f"{levels.ratio(pathway):.1f} times its reference "
        f"{levels.reference(pathway):.3g}"
    )


def _sparsity(pruner: AdaptivePruner, pathway: str) -> str:
    """How sparse a pathway is now."""
    if pathway not in pruner.settled:
        return f"{0.0:.2%}"
    return f"{1 - pruner.masks.density(pathway):.2%}"
