"""Brains and optimizers that the benchmark cannot measure fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.closures import needs_closure

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["OptimizerError", "check_brain", "only_optimizer"]


class OptimizerError(RuntimeError):
    """An optimizer raised an error.

    Arguments
    ---------
    name : str
        Of the optimizer.
    when : str
        What it did then, such as "in step 3".
    error : BaseException
        What it raised.
    """

    def __init__(self, name: str, when: str, error: BaseException) -> None:
        lines = str(error).strip().splitlines() or [""]
        super().__init__(
            f"The optimizer {name} raised {type(error).__name__} "
            f"{when}: {lines[0]}"
        )


def check_brain(brain: sb.Brain) -> None:
    """Refuses a Brain whose steps cannot be compared.

    Arguments
    ---------
    brain : sb.Brain
        Not fitted yet.

    Raises
    ------
    UserError
        If it accumulates gradients: a step would cost several batches.
    """
    factor = brain.grad_accumulation_factor
    if factor != 1:
        raise UserError(
            "`grad_accumulation_factor` must be 1 in a benchmark, got "
            f"{factor}."
        )


def only_optimizer(brain: sb.Brain) -> torch.optim.Optimizer:
    """Takes the optimizer of a Brain.

    Arguments
    ---------
    brain : sb.Brain
        Its optimizers are built.

    Returns
    -------
    torch.optim.Optimizer
        The only one.

    Raises
    ------
    UserError
        If there is none or more than one, or if its step needs a closure.
    """
    found = brain.optimizers_dict
    if not found:
        # Older recipes set `optimizer` alone.
        alone = getattr(brain, "optimizer", None)
        found = {} if alone is None else {"optimizer": alone}
    if len(found) != 1:
        raise UserError(
            "The Brain of a workload must have one optimizer, got "
            f"{len(found)} ({', '.join(found) or 'none'})."
        )
    optimizer: Any = next(iter(found.values()))
    if needs_closure(optimizer):
        name = type(optimizer).__name__
        raise UserError(
            f"The optimizer {name} must step without a closure, which "
            "SpeechBrain does not pass; it cannot be benchmarked."
        )
    return optimizer
