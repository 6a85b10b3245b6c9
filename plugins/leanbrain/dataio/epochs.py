"""Tells samplers which epoch a Brain trains, however its loader was built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch.utils.data import DistributedSampler

from leanbrain.checks import UserError

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.dataio.sampler import LanguageBatchSampler

__all__ = ["check_ranks", "follow_brains", "rank_and_size", "samplers_of"]


def follow_brains() -> None:
    """Lets every Brain tell its epoch to the samplers of its loader.

    SpeechBrain tells it to ``brain.train_sampler`` alone, which it sets for
    samplers that it makes or wraps itself: a batch sampler that comes in
    ``train_loader_kwargs`` or in a loader of the user's would begin at the
    first epoch again whenever a run is resumed. There is no hook for it, so
    that ``Brain._fit_train`` is wrapped, once per process.
    """
    from speechbrain.core import Brain

    fit_train = Brain._fit_train
    if fit_train.__module__ == __name__:
        return

    def telling(
        brain: sb.Brain, train_set: Any, epoch: int, enable: bool
    ) -> None:
        """Tells the epoch, then trains as before."""
        _tell(brain, train_set, epoch)
        fit_train(brain, train_set=train_set, epoch=epoch, enable=enable)

    Brain._fit_train = telling


def samplers_of(loader: Any) -> Iterator[Any]:
    """The samplers of a loader, from the outermost to the innermost.

    Arguments
    ---------
    loader : DataLoader, LoopedLoader or any iterable
        A looped one is opened.

    Yields
    ------
    Sampler
        Wrapped ones after what wraps them.

    Example
    -------
    >>> from torch.utils.data import DataLoader
    >>> [type(s).__name__ for s in samplers_of(DataLoader([1, 2]))]
    ['BatchSampler', 'SequentialSampler']
    """
    loader = getattr(loader, "loader", loader)  # LoopedLoader
    batch_sampler = getattr(loader, "batch_sampler", None)
    sampler = batch_sampler or getattr(loader, "sampler", None)
    while sampler is not None:
        yield sampler
        sampler = getattr(sampler, "sampler", None)


def rank_and_size() -> tuple[int, int]:
    """This process among those that train together.

    Returns
    -------
    tuple of int
        Its rank and the number of ranks, as ``LanguageBatchSampler`` takes
        them: 0 and 1 before ``ddp_init_group``, and where there is no other.

    Example
    -------
    >>> rank_and_size()
    (0, 1)
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def check_ranks(sampler: LanguageBatchSampler, shared_out: bool) -> None:
    """Refuses a sampler whose batches would be lost or come on every rank.

    Arguments
    ---------
    sampler : LanguageBatchSampler
        As it was built.
    shared_out : bool
        Whether SpeechBrain has wrapped it, so that each rank takes its part.

    Raises
    ------
    UserError
        If it was built for another rank or number of ranks.
    """
    rank, ranks = (0, 1) if shared_out else rank_and_size()
    if (sampler.rank, sampler.world_size) != (rank, ranks):
        why = (
            "SpeechBrain shares its batches out among ranks"
            if shared_out
            else "this process runs"
        )
        raise UserError(
            f"The sampler must be built with rank={rank} and world_size="
            f"{ranks}, as {why}, got rank={sampler.rank} and "
            f"world_size={sampler.world_size}."
        )


def _tell(brain: sb.Brain, train_set: Any, epoch: int) -> None:
    """Tells the epoch to what this package has among the samplers."""
    from speechbrain.dataio.dataloader import LoopedLoader

    shared_out = False
    for sampler in samplers_of(train_set):
        shared_out = shared_out or isinstance(sampler, DistributedSampler)
        if not hasattr(sampler, "begin_epoch"):
            continue
        check_ranks(sampler, shared_out)
        if isinstance(train_set, LoopedLoader):
            # Its epochs are not the sampler's, which counts by itself.
            brain.train_sampler = None
            _resume_looped(train_set, sampler)
        else:
            sampler.begin_epoch(epoch)


def _resume_looped(looped: Any, sampler: LanguageBatchSampler) -> None:
    """Puts a sampler where a loaded loader was, before its first batch."""
    if looped.iterator is not None or not looped.total_steps:
        return
    done, within = divmod(looped.total_steps, len(looped.loader))
    sampler.set_epoch(1 + done)
    looped.loader._speechbrain_recovery_skip_to = within or None
