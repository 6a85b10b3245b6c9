"""What the processes of a distributed trial must agree on.

Without torch.distributed every function returns what it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["any_rank", "from_main", "max_over_ranks"]


def max_over_ranks(values: Sequence[float]) -> list[float]:
    """Takes the largest of each value over all processes.

    Arguments
    ---------
    values : Sequence[float]
        As many in every process.

    Returns
    -------
    list[float]
        The same in every process.

    Example
    -------
    >>> max_over_ranks([1.0, 2.0])
    [1.0, 2.0]
    """
    if not _distributed():
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=_device())
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
    return [float(x) for x in tensor.tolist()]


def any_rank(flag: bool) -> bool:
    """Says whether a flag is set in any process.

    One process that stops alone would leave the others waiting for its
    gradients.

    Arguments
    ---------
    flag : bool
        Of this process.

    Returns
    -------
    bool
        The same in every process.

    Example
    -------
    >>> any_rank(False)
    False
    """
    if not _distributed():
        return flag
    return max_over_ranks([float(flag)])[0] > 0


def from_main(values: Any) -> Any:
    """Hands what the main process has to all others.

    Arguments
    ---------
    values : Any
        Something that can be pickled.

    Returns
    -------
    Any
        The main process's own.

    Example
    -------
    >>> from_main({"error_percent": 3.0})
    {'error_percent': 3.0}
    """
    if not _distributed():
        return values
    box = [values]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def _distributed() -> bool:
    return (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_world_size() > 1
    )


def _device() -> torch.device:
    """Where the back end can reduce a tensor."""
    if torch.distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
