"""What an optimizer trains and a checkpoint saves of a Brain."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.masking.targets import Target
from leanbrain.pruning.choice import UNOWNED
from leanbrain.pruning.optimizers import looks_like_one, moved_by

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = [
    "copies_in",
    "optimizers_of",
    "unowned",
    "unsaved_by",
    "warn_of_frozen",
    "warn_of_new",
]

logger = logging.getLogger(__name__)


def optimizers_of(brain: sb.Brain) -> list[Any]:
    """The optimizers that a Brain has built.

    Arguments
    ---------
    brain : sb.Brain
        After its ``init_optimizers``.

    Returns
    -------
    list
        What ``optimizers_dict`` holds; else, as older recipes and those that
        step by themselves set attributes alone, every one among these.
    """
    named = (brain.optimizers_dict or {}).values()
    found = list(named) or [
        value for value in vars(brain).values() if looks_like_one(value)
    ]
    return list({id(optimizer): optimizer for optimizer in found}.values())


def unowned(
    targets: Sequence[Target], optimizers: Sequence[Any]
) -> dict[str, str]:
    """Names the targets that no optimizer will train, with the reason."""
    owned = moved_by(optimizers)
    return {t.name: UNOWNED for t in targets if id(t.parameter) not in owned}


def unsaved_by(
    checkpointer: Any,
) -> Callable[[torch.nn.Parameter], bool] | None:
    """Tells which parameters no checkpoint will hold.

    Arguments
    ---------
    checkpointer : Checkpointer or None
        With its recoverables.

    Returns
    -------
    callable or None
        Parameter -> whether it is in none of the recoverables; None if
        nothing is saved, so that there is nothing to lose.
    """
    if checkpointer is None:
        return None
    saved = {
        id(parameter)
        for recoverable in checkpointer.recoverables.values()
        if isinstance(recoverable, torch.nn.Module)
        for parameter in recoverable.parameters()
    }
    return lambda parameter: id(parameter) not in saved


def warn_of_frozen(modules: Mapping[str, torch.nn.Module]) -> None:
    """Names the modules whose matrices are frozen now and so stay dense."""
    frozen = [
        name
        for name, module in modules.items()
        if module is not None  # a YAML may leave one out
        and any(
            p.dim() > 1 and not p.requires_grad for p in module.parameters()
        )
    ]
    if frozen:
        logger.warning(
            "Frozen parameters of %s stay dense, also if they are trained "
            "later in the run.",
            ", ".join(frozen),
        )


def warn_of_new(brain: sb.Brain, known: Iterable[torch.nn.Parameter]) -> None:
    """Names the matrices that a later Brain brings along: they stay dense.

    Arguments
    ---------
    brain : sb.Brain
        That goes on with pruned weights.
    known : Iterable
        All parameters of the Brain that the targets were chosen from.
    """
    ids = {id(parameter) for parameter in known}
    new = [
        name
        for name, parameter in brain.modules.named_parameters()
        if parameter.dim() > 1
        and parameter.requires_grad
        and id(parameter) not in ids
    ]
    if new:
        logger.warning(
            "%s holds matrices that the first Brain with the pruner has not, "
            "which stay dense: %s.",
            type(brain).__name__,
            ", ".join(new),
        )


def copies_in(brain: sb.Brain, targets: Sequence[Target]) -> list[str]:
    """Names the parameters of a Brain that have the zeros of pruned ones.

    Arguments
    ---------
    brain : sb.Brain
        That holds none of the targets.
    targets : Sequence
        What is pruned.

    Returns
    -------
    list
        Names of the parameters.
    """
    pruned = [t.parameter == 0 for t in targets]
    pruned = [zeros for zeros in pruned if zeros.any()]
    return [
        name
        for name, parameter in brain.modules.named_parameters()
        if any(
            zeros.shape == parameter.shape
            and torch.equal(zeros, (parameter == 0).to(zeros.device))
            for zeros in pruned
        )
    ]
