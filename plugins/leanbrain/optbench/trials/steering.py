"""What the harness does to every optimizer alike: learning rate and clipping.

Both happen right before the optimizer's step, in a hook of the optimizer, when
gradients have been unscaled (half precision) and averaged (several processes).
SpeechBrain 1.1 clips the first parameter group only, and its schedulers give
all groups one rate; here one norm over all groups is clipped, and every group
keeps its own base rate, times one multiplier.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError, check_int, check_positive

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.optbench.trials.clock import PausedClock

__all__ = ["Schedule", "Steering", "gradient_norm"]

NO_CLIPPING = 1e9
"""What SpeechBrain gets as `max_grad_norm`; it knows no "off"."""

Schedule = Callable[[float], float]
"""Share of training that is done, in [0, 1] -> multiplier of the base rate."""


class Steering:
    """Sets the learning rates and clips the gradients of one optimizer.

    Arguments
    ---------
    schedule : Schedule
        Step k (from 0) of `total_steps` gets `schedule(k / total_steps)`;
        later steps get `schedule(1.0)`.
    total_steps : int
        The horizon.
    clock : PausedClock
        Paused while the gradients are measured for the audit.
    """

    def __init__(
        self, schedule: Schedule, total_steps: int, clock: PausedClock
    ) -> None:
        self.schedule = schedule
        self.total_steps = check_int("total_steps", total_steps, low=1)
        self.clock = clock
        self.base_rates: list[float] = []
        self.norms: list[tuple[int, float]] = []
        self.max_grad_norm = math.inf
        self.audit_seconds: list[float] = []
        self._brain: Any = None

    def attach(self, brain: sb.Brain, optimizer: torch.optim.Optimizer) -> None:
        """Takes over clipping and learning rates.

        Arguments
        ---------
        brain : sb.Brain
            Its `max_grad_norm` is taken over.
        optimizer : torch.optim.Optimizer
            Not stepped yet: its rates are the base rates.

        Raises
        ------
        UserError
            If `max_grad_norm` is not above zero (a negative one would turn
            the gradients round) or a group has no number as `lr`.
        """
        self.max_grad_norm = check_positive(
            "max_grad_norm", brain.max_grad_norm
        )
        brain.max_grad_norm = NO_CLIPPING
        self._brain = brain
        self.base_rates = [_rate(group) for group in optimizer.param_groups]
        optimizer.register_step_pre_hook(self._before_step)

    def multiplier(self, step: int) -> float:
        """The multiplier of a step, counted from 0."""
        return float(self.schedule(min(1.0, step / self.total_steps)))

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        step = self._brain.optimizer_step
        multiplier = self.multiplier(step)
        pairs = zip(optimizer.param_groups, self.base_rates, strict=True)
        for group, base in pairs:
            _set_rate(group, base * multiplier)
        held = [p for g in optimizer.param_groups for p in g["params"]]
        torch.nn.utils.clip_grad_norm_(held, self.max_grad_norm)
        if _is_measured(step):
            begun = time.perf_counter()
            with self.clock.paused():
                norm = gradient_norm(self._brain.modules)
            self.norms.append((step + 1, norm))
            self.audit_seconds.append(time.perf_counter() - begun)


def gradient_norm(modules: torch.nn.Module) -> float:
    """The norm of all gradients of a model, whoever holds its parameters.

    Arguments
    ---------
    modules : torch.nn.Module
        After a backward pass.

    Returns
    -------
    float
        The Euclidean norm, summed in double precision.

    Example
    -------
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> layer.weight.grad = torch.tensor([[3.0, 4.0]])
    >>> gradient_norm(layer)
    5.0
    """
    squares = [
        float(p.grad.double().square().sum())
        for p in modules.parameters()
        if p.grad is not None
    ]
    return math.sqrt(math.fsum(squares)) if squares else 0.0


def _is_measured(step: int) -> bool:
    """Steps 1, 2, 4, 8, ...: the first have the largest gradients."""
    return (step + 1) & step == 0


def _rate(group: dict[str, Any]) -> float:
    """The base rate of a parameter group."""
    rate = group.get("lr")
    if isinstance(rate, torch.Tensor):
        rate = rate.item()
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise UserError(
            f"`lr` of every parameter group must be a number, got {rate!r}."
        )
    return float(rate)


def _set_rate(group: dict[str, Any], rate: float) -> None:
    """Sets a rate, in place where compiled code holds on to a tensor."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
