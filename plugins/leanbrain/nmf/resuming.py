"""Loaders that give the same batches again, from the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from speechbrain.dataio.dataloader import SaveableDataLoader

from leanbrain.dataio.epochs import samplers_of
from leanbrain.nmf.seeding import generator_for

__all__ = ["batches_of", "length_of"]


def batches_of(loader: Any, seed: int, epoch: int, done: int) -> Iterator[Any]:
    """The batches of an epoch after those that are done.

    Arguments
    ---------
    loader : DataLoader | Iterable
        ``set_epoch`` of it or of its samplers is called; its generators are
        seeded from `seed` and `epoch`.
    seed, epoch : int
        Decide the order of what shuffles without a seed of its own.
    done : int
        Batches to skip.

    Yields
    ------
    Any
        Batches.
    """
    for part in (loader, *samplers_of(loader)):
        if callable(set_epoch := getattr(part, "set_epoch", None)):
            # As SpeechBrain's EpochCounter does, from 1.
            set_epoch(epoch + 1)
        generator = getattr(part, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(_seed(seed, epoch))
    skipped = 0
    if isinstance(loader, SaveableDataLoader):
        # It can skip without loading. What it has itself saved is ignored
        # once it has been iterated, in a notebook say.
        loader._speechbrain_recovery_skip_to = done or None
        skipped = done
    # A sampler without a generator draws its seed from the global one, when
    # the first batch is asked for.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(seed, epoch))
        iterator = iter(loader)
        for _ in range(done - skipped):
            next(iterator, None)
        first = next(iterator, None)
    if first is not None:
        yield first
        yield from iterator


def length_of(loader: Any) -> int | None:
    """The number of batches, None where it is not known."""
    try:
        return len(loader)
    except TypeError:
        return None


def _seed(seed: int, epoch: int) -> int:
    generator = generator_for(seed, epoch)
    return int(torch.randint(2**31, (), generator=generator))
