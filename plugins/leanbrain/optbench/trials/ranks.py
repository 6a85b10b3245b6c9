"""What the processes of a distributed trial must agree on.

Without torch.distributed every function returns what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch

__all__ = [
    "any_rank",
    "from_main",
    "join_ranks",
    "leave_ranks",
    "max_over_ranks",
]


def join_ranks(device: str | None) -> str:
    """Joins the other processes that torchrun started, if it did.

    Who has joined already stays in the group: after leaving it, no other can
    be made by the same processes.

    Arguments
    ---------
    device : str | None
        "cpu" or "cuda"; None: "cuda" where there is one.

    Returns
    -------
    str
        The device of this process.

    Example
    -------
    >>> join_ranks("cpu")
    'cpu'
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    local = os.environ.get("LOCAL_RANK")
    if local is None:
        return device
    from speechbrain.utils.distributed import ddp_init_group

    on_cpu = device == "cpu"
    if not torch.distributed.is_initialized():
        ddp_init_group({"distributed_backend": "gloo" if on_cpu else "nccl"})
    return device if on_cpu else f"cuda:{local}"


def leave_ranks() -> None:
    """Ends what `join_ranks` began."""
    available = torch.distributed.is_available()
    if available and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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
