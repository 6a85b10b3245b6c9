"""How much speech training batches hold, with what they are padded with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leanbrain.dataio.sampler import LanguageBatchSampler

__all__ = ["full_batches", "padded_seconds"]


def padded_seconds(sampler: LanguageBatchSampler, epochs: int) -> float:
    """Sums up the padded seconds of all batches of a training.

    What a sampler yields depends on its seed and the epoch alone: a training
    that was interrupted has had the same batches.

    Arguments
    ---------
    sampler : LanguageBatchSampler
        That of the training; it stays where it is.
    epochs : int
        How many it was asked for.

    Returns
    -------
    float
        Batch size x longest utterance, in seconds, of every batch of every
        rank.

    Example
    -------
    >>> from leanbrain.dataio.sampler import LanguageBatchSampler
    >>> sampler = LanguageBatchSampler(
    ...     [1.0, 2.0], ["en", "en"], max_batch_s=4.0, batches_per_epoch=3
    ... )
    >>> padded_seconds(sampler, epochs=2)
    24.0
    """
    own = copy.copy(sampler)
    seconds = 0.0
    for epoch in range(1, epochs + 1):
        for rank in range(sampler.world_size):
            own.rank = rank
            seconds += sum(
                len(batch) * max(own.durations[i] for i in batch)
                for batch in own.batches(epoch)
            )
    return seconds


def full_batches(sampler: LanguageBatchSampler, epochs: int) -> float:
    """How many full batches a training's batches amount to.

    Arguments
    ---------
    sampler, epochs
        As for `padded_seconds`.

    Returns
    -------
    float
        In units of `max_batch_s`: `steps` of `CostMeter.training_flops` where
        the multiply-adds are those of a full batch.
    """
    return padded_seconds(sampler, epochs) / sampler.max_batch_s
