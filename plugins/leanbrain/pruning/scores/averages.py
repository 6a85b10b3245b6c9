"""Bias-corrected moving averages in narrow formats, also over ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from leanbrain.pruning.scores.codes import Code

__all__ = ["BLOCK", "RunningAverage", "are_ranks", "reduce_over_ranks"]

# Entries that are worked on at a time on a CPU: they stay in its cache.
BLOCK = 2**18


@dataclass
class RunningAverage:
    """Average of observations of one tensor, >= 0 but for float32 codes.

    What is stored is the corrected average itself, which keeps its unit from
    the first observation on. With all codes but float32 it is relative to
    `bound`, the same average of the observations' largest entries: it bounds
    every entry, so nothing overflows, and it follows the unit of the
    observations up and down, so nothing vanishes.

    Arguments
    ---------
    code : Code
        How values are stored.
    values : Tensor
        What is stored, of the code's dtype, any shape.
    bound : float
        No entry of the average is larger.
    seen : int
        Number of observations.

    Reference
    ---------
    Bias correction: Kingma and Ba, arXiv 1412.6980, section 3.

    Example
    -------
    >>> from leanbrain.pruning.scores.codes import code_of
    >>> average = RunningAverage.empty(code_of("float32"), torch.ones(2))
    >>> scratch = torch.empty(2)
    >>> for observed in (torch.tensor([1.0, 0.0]), torch.tensor([4.0, 3.0])):
    ...     average.take(observed, float(observed.max()), 0.5, scratch)
    >>> average.value()
    tensor([3., 2.])
    """

    code: Code
    values: Tensor
    bound: float = 0.0
    seen: int = 0

    @classmethod
    def empty(cls, code: Code, like: Tensor) -> "RunningAverage":
        """Makes an average without observations.

        Arguments
        ---------
        code : Code
            How values are stored.
        like : Tensor
            Gives the shape and the device.

        Returns
        -------
        RunningAverage
            The average.
        """
        return cls(
            code, torch.zeros(like.shape, dtype=code.dtype, device=like.device)
        )

    @staticmethod
    def scratch_size(like: Tensor) -> int:
        """Returns how much scratch space `take` needs.

        Arguments
        ---------
        like : Tensor
            Gives the number of entries and the device.

        Returns
        -------
        int
            Number of float32 entries.
        """
        on_cpu = like.device.type == "cpu"
        return min(like.numel(), BLOCK) if on_cpu else like.numel()

    def take(
        self, fresh: Tensor, highest: float, decay: float, scratch: Tensor
    ) -> None:
        """Takes in an observation.

        Arguments
        ---------
        fresh : Tensor
            The observation, float32, finite, contiguous; >= 0 in all codes but
            float32.
        highest : float
            Its largest entry.
        decay : float
            Weight of the past, in [0, 1).
        scratch : Tensor
            Space to work in, float32, `scratch_size` entries; so that an
            observation costs no new memory.
        """
        self.seen += 1
        # Equal to dividing the plain average by 1 - decay ** seen.
        step = (1.0 - decay) / (1.0 - decay**self.seen)
        if self.code.dtype == torch.float32:
            self.values.lerp_(fresh.view(self.values.shape), step)
            return
        bound = self.bound + step * (highest - self.bound)
        # Below this the factors overflow; such values are as good as zero.
        usable = bound > self.code.full * torch.finfo(torch.float32).tiny
        past = (1.0 - step) * self.bound / bound if usable else 0.0
        new = step * self.code.full / bound if usable else 0.0
        self.bound = bound if usable else 0.0
        size = scratch.numel()
        pairs = zip(
            self.values.view(-1).split(size),
            fresh.view(-1).split(size),
            strict=True,
        )
        for stored, part in pairs:
            work = self.code.decode(stored, scratch[: part.numel()])
            self.code.encode(work.mul_(past).add_(part, alpha=new), stored)

    def value(self, out: Tensor | None = None) -> Tensor:
        """Returns the average.

        Arguments
        ---------
        out : Tensor, optional
            Where to write, float32, in the shape of what was observed.

        Returns
        -------
        Tensor
            float32, `out` or a new tensor.
        """
        if out is None:
            out = torch.empty_like(self.values, dtype=torch.float32)
        self.code.decode(self.values, out)
        if self.code.dtype != torch.float32:
            out.mul_(self.bound / self.code.full)
        return out

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensor is the live one.
        """
        return {"values": self.values, "bound": self.bound, "seen": self.seen}

    @classmethod
    def from_state(cls, code: Code, state: dict[str, Any]) -> "RunningAverage":
        """Makes an average from a saved one, whose tensor is copied.

        Arguments
        ---------
        code : Code
            How values were stored.
        state : dict
            What `state_dict` returned.

        Returns
        -------
        RunningAverage
            The average.
        """
        return cls(code, state["values"].clone(), state["bound"], state["seen"])


def are_ranks() -> bool:
    """Whether there are others to meet.

    Example
    -------
    >>> are_ranks()
    False
    """
    return dist.is_available() and dist.is_initialized()


@torch.no_grad()
def reduce_over_ranks(
    averages: Mapping[str, RunningAverage], code: Code
) -> dict[str, RunningAverage]:
    """Averages the averages of all ranks that have any, tensor by tensor.

    Every rank must call it at the same point; all then hold the same.

    Arguments
    ---------
    averages : Mapping[str, RunningAverage]
        What this rank observed: none, some or all of the tensors.
    code : Code
        How values are stored.

    Returns
    -------
    dict
        Averages of all tensors that any rank observed; `averages` itself in
        a process that is not distributed. The number of observations is that
        of the rank with most.
    """
    if not are_ranks():
        return dict(averages)
    facts = {
        name: (tuple(average.values.shape), average.seen, average.bound)
        for name, average in averages.items()
    }
    ranks: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(ranks, facts)
    reduced = {}
    # Sorted: every rank must reduce the same tensor at the same time.
    for name in sorted(set().union(*ranks)):
        held = [rank[name] for rank in ranks if name in rank]
        total = torch.zeros(held[0][0], device=_meeting_device())
        if name in averages:
            total.copy_(averages[name].value())
        dist.all_reduce(total)
        total.div_(len(held))
        average = RunningAverage.empty(code, total)
        scratch = total.new_empty(RunningAverage.scratch_size(total))
        # With decay 0 the average is what it takes in.
        average.take(total, max(fact[2] for fact in held), 0.0, scratch)
        average.seen = max(fact[1] for fact in held)
        reduced[name] = average
    return reduced


def _meeting_device() -> torch.device:
    """Where tensors must lie for the ranks to exchange them."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
