"""What a solver reports beside its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["CHECK_EVERY", "Info"]

# Iterations between two looks at the loss, one of which costs about as much
# as half an iteration.
CHECK_EVERY = 10


class Part(Protocol):
    """Some of the work: what it made, and whether it came to its end."""

    iterations: int
    losses: list[float]
    settled: bool


@dataclass
class Info:
    """How an NMF went.

    Arguments
    ---------
    iterations : int
        Iterations made; of the slowest frame, in encoding.
    losses : list of float
        Loss with penalties, in float64, every `CHECK_EVERY` iterations and
        at the end.
    reason : str
        Why it ended: "tol" (it moves no more) or "max_iter".
    """

    iterations: int = 0
    losses: list[float] = field(default_factory=list)
    reason: str = "max_iter"

    @classmethod
    def of_parts(cls, parts: Sequence[Part]) -> Info:
        """What parts of the work, one after the other, amount to.

        A part that was done earlier keeps its loss.
        """
        traces = [part.losses for part in parts]
        return cls(
            max((part.iterations for part in parts), default=0),
            [
                sum(trace[min(i, len(trace) - 1)] for trace in traces)
                for i in range(max((len(x) for x in traces), default=0))
            ],
            "tol" if all(part.settled for part in parts) else "max_iter",
        )
