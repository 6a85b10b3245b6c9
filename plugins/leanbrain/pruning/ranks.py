"""The few things that the ranks of a distributed run must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist

__all__ = [
    "agree_on_digest",
    "is_distributed",
    "is_first_rank",
    "sum_over_ranks",
    "sums_over_ranks",
    "union_names",
]


def is_distributed() -> bool:
    """Whether this process is one of several ranks."""
    return (
        dist.is_available()
        and dist.is_initialized()
        and dist.get_world_size() > 1
    )


def is_first_rank() -> bool:
    """Whether this process is the one that says things."""
    return not is_distributed() or dist.get_rank() == 0


def union_names(
    names: Iterable[str], known: Sequence[str], device: torch.device
) -> set[str]:
    """Names that at least one rank holds.

    Arguments
    ---------
    names : iterable of str
        What this rank holds; each is in ``known``.
    known : sequence of str
        All names, in the same order on every rank.
    device : torch.device
        Where the back end communicates.

    Returns
    -------
    set of str
    """
    mine = set(names)
    if not is_distributed():
        return mine
    flags = torch.tensor([int(n in mine) for n in known], device=device)
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return {n for n, flag in zip(known, flags.tolist(), strict=False) if flag}


def sum_over_ranks(value: int, device: torch.device) -> int:
    """Sum of an integer over the ranks; the value itself on a single one."""
    if not is_distributed():
        return value
    total = torch.tensor(value, device=device)
    dist.all_reduce(total)
    return int(total)


def sums_over_ranks(
    values: Sequence[float], device: torch.device
) -> list[float]:
    """Sums of numbers over the ranks; the values themselves on one."""
    if not is_distributed():
        return list(values)
    totals = torch.tensor(values, device=device)
    dist.all_reduce(totals)
    found: list[float] = totals.tolist()
    return found


def agree_on_digest(digest: str) -> None:
    """Raises on every rank when the ranks' masks are not the same.

    Arguments
    ---------
    digest : str
        Hash of this rank's masks.
    """
    if not is_distributed():
        return
    digests: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(digests, digest)
    if len(set(digests)) > 1:
        raise RuntimeError(
            "The masks must be the same on all ranks, got digests "
            f"{[str(d)[:8] for d in digests]}."
        )
