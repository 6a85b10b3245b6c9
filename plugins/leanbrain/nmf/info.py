"""What a solver reports beside its result."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CHECK_EVERY", "Info"]

# Iterations between two looks at the loss, one of which costs about as much
# as half an iteration.
CHECK_EVERY = 10


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
