"""Which utterances a batch has, in which order, and for which rank."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch.distributed as dist

from leanbrain.checks import UserError

Indices = list[int]


class EndlessBatches:
    """A rank's share of batches, shuffled anew in each pass over the data.

    Arguments
    ---------
    count : int
        Utterances.
    batch_size : int
        Utterances per step of all ranks; what is left of a pass is dropped.
    seed : int
        With the number of the pass all that decides on the order.
    rank, size : int
        Which of how many ranks.

    Example
    -------
    >>> both = [iter(EndlessBatches(5, 4, 1, rank, 2)) for rank in range(2)]
    >>> whole = iter(EndlessBatches(5, 4, 1, 0, 1))
    >>> sorted(next(both[0]) + next(both[1])) == sorted(next(whole))
    True
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, rank: int, size: int
    ) -> None:
        if batch_size > count:
            raise UserError(
                "`batch_size` must be at most the number of training "
                f"utterances ({count}), got {batch_size}."
            )
        if batch_size % size:
            raise UserError(
                f"`batch_size` must be a multiple of the {size} ranks, got "
                f"{batch_size}."
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.size = rank, size

    def __iter__(self) -> Iterator[Indices]:
        for epoch in itertools.count():
            draw = np.random.default_rng([self.seed, epoch])
            order = draw.permutation(self.count).tolist()
            for i in range(self.count // self.batch_size):
                batch = order[i * self.batch_size : (i + 1) * self.batch_size]
                yield batch[self.rank :: self.size]


def share_evenly(
    order: Sequence[int], batch_size: int, rank: int, size: int
) -> list[Indices]:
    """A rank's part of evaluation batches.

    All ranks get the same number of batches, none empty, as each forward
    pass waits for the other ranks; no utterance comes twice.

    Arguments
    ---------
    order : Sequence[int]
        Utterances.
    batch_size : int
        Of all ranks together; no batch is larger, but that two utterances
        may come where a rank's share is one.
    rank, size : int
        Which of how many ranks.

    Returns
    -------
    list
        Lists of utterances.

    Raises
    ------
    UserError
        If there are fewer utterances than ranks, or `batch_size` is.

    Example
    -------
    >>> [share_evenly(range(5), 4, rank, 2) for rank in range(2)]
    [[[0, 2], [4]], [[1], [3]]]
    """
    if min(len(order), batch_size) < size:
        raise UserError(
            "`eval_batch_size` and the number of utterances must be at least "
            f"the number of ranks ({size}), got {batch_size} and {len(order)}."
        )
    per_rank = batch_size // size
    smallest, largest = len(order) // size, -(-len(order) // size)
    count = min(smallest, -(-largest // per_rank))
    own = np.array_split(np.asarray(order)[rank::size], count)
    return [part.tolist() for part in own]


def rank_and_size() -> tuple[int, int]:
    """This process among those that train together."""
    if dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
