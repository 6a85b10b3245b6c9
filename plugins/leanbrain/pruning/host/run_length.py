"""How many optimizer steps a Brain is about to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from leanbrain.checks import UserError
from leanbrain.pruning.ranks import is_distributed

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["epochs_of", "optimizer_steps"]


def optimizer_steps(brain: sb.Brain, epoch_counter: Any, loader: Any) -> int:
    """Counts the optimizer steps of a whole run of ``Brain.fit``.

    What is left of a run that continues does not matter: the counter's limit
    and the loader's length are those of the run from its beginning. A run
    that early stopping ends makes fewer.

    Arguments
    ---------
    brain : sb.Brain
        Its options count: gradient accumulation, debug, the limit of steps.
    epoch_counter : iterable
        As given to ``fit``: with a ``limit`` or a length.
    loader : DataLoader
        As ``fit`` iterates it.

    Returns
    -------
    int
        The same on every rank: the smallest of theirs.

    Raises
    ------
    UserError
        If the loader or the counter has no length, or no step would be made.
    """
    epochs, batches = epochs_of(epoch_counter), _batches_of(loader)
    if brain.debug:
        epochs = min(epochs, brain.debug_epochs)
        batches = min(batches, brain.debug_batches)
    # What an epoch leaves over after the last full accumulation is dropped.
    steps = epochs * (batches // brain.grad_accumulation_factor)
    if brain.optimizer_step_limit is not None:
        steps = min(steps, brain.optimizer_step_limit)
    steps = _least_over_ranks(steps, torch.device(brain.device))
    if steps < 1:
        raise UserError(
            "A run must make at least one optimizer step to be pruned, got "
            f"{epochs} epochs of {batches} batches with "
            f"`grad_accumulation_factor` {brain.grad_accumulation_factor}."
        )
    return steps


def epochs_of(epoch_counter: Any) -> int:
    """The number of epochs that a counter allows, those done included.

    Example
    -------
    >>> epochs_of(range(3))
    3
    """
    limit = getattr(epoch_counter, "limit", None)
    if limit is not None:
        return int(limit)
    try:
        return len(epoch_counter)
    except TypeError:
        raise UserError(
            "`--total_steps` must be given when the epochs cannot be counted, "
            f"got a {type(epoch_counter).__name__} without limit and length."
        ) from None


def _batches_of(loader: Any) -> int:
    """The batches of an epoch."""
    nominal = getattr(loader, "epoch_length", None)  # LoopedLoader
    if nominal is not None:
        return int(nominal)
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        raise UserError(
            "`--total_steps` must be given when the train loader has no "
            f"length, got a {type(loader).__name__} over "
            f"{type(getattr(loader, 'dataset', None)).__name__}."
        ) from None


def _least_over_ranks(value: int, device: torch.device) -> int:
    """The smallest value of all ranks, which must follow the same plan."""
    if not is_distributed():
        return value
    least = torch.tensor(value, device=device)
    dist.all_reduce(least, op=dist.ReduceOp.MIN)
    return int(least)
