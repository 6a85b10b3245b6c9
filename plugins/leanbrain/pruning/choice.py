"""Says what of a model is pruned, and why the rest is not."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from leanbrain.masking.targets import UNSAVED, Target
from leanbrain.pruning.ranks import is_first_rank

__all__ = ["NO_GRADIENT", "UNOWNED", "choice_text", "say_choice"]

logger = logging.getLogger(__name__)

UNOWNED = "in no optimizer"
NO_GRADIENT = "without a gradient"
# What whoever wrote the recipe may not know.
_UNEXPECTED = (UNSAVED, UNOWNED, NO_GRADIENT)
_SHOWN = 3

Choice = Sequence[tuple[Target, str | None]]


def say_choice(choice: Choice) -> None:
    """Logs it, what is left out unexpectedly as a warning with names."""
    if not is_first_rank():
        return
    for reason in _UNEXPECTED:
        names = [target.name for target, why in choice if why == reason]
        if names:
            more = len(names) - _SHOWN
            rest = f" and {more} more" if more > 0 else ""
            logger.warning(
                "Left dense, %s: %s%s.",
                reason,
                ", ".join(names[:_SHOWN]),
                rest,
            )
    logger.info("%s", choice_text(choice))


def choice_text(choice: Choice) -> str:
    """How much is pruned, and what is left out for which reason.

    Arguments
    ---------
    choice : sequence of (Target, str or None)
        Every parameter of a model, and why it is not pruned.

    Returns
    -------
    str
        A sentence.

    Example
    -------
    >>> import torch
    >>> from leanbrain.masking.targets import explain_targets
    >>> model = torch.nn.ModuleDict({"enc": torch.nn.Linear(4, 8)})
    >>> choice_text(explain_targets(model))
    'Prunes 1 of 2 parameters with 32 of 40 weights; left dense: a bias: 1 \
(8 weights).'
    """
    sizes: dict[str | None, list[int]] = {None: []}
    for target, why in choice:
        sizes.setdefault(why, []).append(target.parameter.numel())
    pruned = sizes.pop(None)
    left = ", ".join(
        f"{why}: {len(some)} ({sum(some):,} weights)"
        for why, some in sizes.items()
    )
    weights = sum(pruned) + sum(map(sum, sizes.values()))
    said = (
        f"Prunes {len(pruned)} of {len(choice)} parameters with "
        f"{sum(pruned):,} of {weights:,} weights"
    )
    return f"{said}; left dense: {left}." if left else f"{said}."
