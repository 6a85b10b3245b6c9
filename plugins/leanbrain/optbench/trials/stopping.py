"""What ends a trial before its budget: the target, divergence, a fault."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from leanbrain.checks import UserError

__all__ = [
    "Divergence",
    "Stop",
    "Target",
    "all_finite",
]


class Stop(Exception):
    """Leaves `Brain.fit` from within; caught by the session that raised it.

    Arguments
    ---------
    status : str
        "done", "diverged" or "void".
    reason : str
        One sentence; empty for "done".
    """

    def __init__(self, status: str, reason: str = "") -> None:
        super().__init__(reason or status)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Target:
    """A value of a metric; lower is better.

    Arguments
    ---------
    metric : str
        A key of what `stage_metrics` of the Brain returns.
    value : float | None
        None: there is nothing to be reached.

    Example
    -------
    >>> target = Target("error_percent", 5.0)
    >>> target.met({"error_percent": 5.0}), target.met({"error_percent": 5.1})
    (True, False)
    """

    metric: str
    value: float | None = None

    def read(self, values: Mapping[str, float]) -> float:
        """Takes the metric out of what an evaluation found.

        Raises
        ------
        UserError
            If it is not there.
        """
        if self.metric not in values:
            raise UserError(
                f"`metric` must be one of {', '.join(sorted(values))} (what "
                f"`stage_metrics` returns), got {self.metric!r}."
            )
        return float(values[self.metric])

    def met(self, values: Mapping[str, float]) -> bool:
        """Whether the target is reached; NaN never does."""
        value = self.read(values)
        return self.value is not None and value <= self.value


@dataclass
class Divergence:
    """Says when a training is beyond help.

    A training loss that is not finite reaches every weight with the next
    step: nothing recovers from it, and the first one ends the trial. Where
    such steps are skipped (`skip_nonfinite_grads`, the scaler of half
    precision) only the third in a row does. A value of validation reaches no
    weight and may overflow in passing: also the third in a row.

    Arguments
    ---------
    skips : bool
        Whether steps with gradients that are not finite are skipped.
    patience : int
        How many in a row are too many, where they do no lasting harm.

    Example
    -------
    >>> Divergence(skips=False).of_loss(float("nan"))
    True
    >>> divergence = Divergence(skips=True)
    >>> [divergence.of_loss(x) for x in (math.inf, 1.0, math.inf, math.inf)]
    [False, False, False, False]
    >>> divergence.of_loss(math.inf)
    True
    """

    skips: bool = False
    patience: int = 3
    _losses: int = field(default=0, init=False)
    _values: int = field(default=0, init=False)

    def of_loss(self, loss: float) -> bool:
        """Takes the next training loss; True ends the trial."""
        if math.isfinite(loss):
            self._losses = 0
            return False
        self._losses += 1
        return self._losses >= (self.patience if self.skips else 1)

    def of_value(self, value: float) -> bool:
        """Takes the next value of validation; True ends the trial."""
        if math.isfinite(value):
            self._values = 0
            return False
        self._values += 1
        return self._values >= self.patience


def all_finite(tensors: Iterable[Any]) -> bool:
    """Whether tensors hold neither NaN nor infinity.

    An error in percent is finite even if every weight is NaN.

    Arguments
    ---------
    tensors : Iterable[torch.Tensor]
        Such as the parameters of a model.

    Returns
    -------
    bool
        True if there are none.

    Example
    -------
    >>> all_finite([torch.ones(2), torch.tensor([math.nan])])
    False
    """
    return all(bool(torch.isfinite(x).all()) for x in tensors)
