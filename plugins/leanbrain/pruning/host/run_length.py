"""How many optimizer steps a Brain is about to make."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from leanbrain.checks import UserError
from leanbrain.pruning.ranks import is_distributed

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["Stages", "epochs_of", "optimizer_steps", "train_loader"]

logger = logging.getLogger(__name__)


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


class Stages:
    """The steps of all fits of a script, one after the other.

    The pruning is planned over those of the first fit, as nobody knows
    beforehand what a script will fit next, or over what the user says.
    """

    def __init__(self) -> None:
        self.total = 0
        self._given = False
        self._counters: list[Any] = []

    def begin(self, epoch_counter: Any, steps: int, given: int | None) -> None:
        """Notes the first fit, and what the user has said of the whole run."""
        self.total, self._given = steps, given is not None
        self._counters.append(epoch_counter)

    def add(self, brain: sb.Brain, epoch_counter: Any, loader: Any) -> None:
        """Counts one fit more, as far as its counter goes on."""
        if self._given:
            return
        seen = any(epoch_counter is known for known in self._counters)
        done = getattr(epoch_counter, "current", 0) if seen else 0
        self._counters.append(epoch_counter)
        try:
            left = range(done, epochs_of(epoch_counter))
            self.total += optimizer_steps(brain, left, loader)
        except UserError:
            # Without a length or a step: the pruning is not planned by it.
            logger.info("The steps of another fit cannot be counted before.")


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


def train_loader(brain: sb.Brain, data: Any, settings: Any) -> Any:
    """The loader of the training data, as ``Brain.fit`` makes it."""
    from speechbrain import Stage
    from speechbrain.dataio.dataloader import LoopedLoader
    from torch.utils.data import DataLoader

    if isinstance(data, DataLoader | LoopedLoader):
        return data
    return brain.make_dataloader(data, stage=Stage.TRAIN, **settings)
