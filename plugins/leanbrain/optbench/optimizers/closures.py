"""Optimizers whose step evaluates the loss again, by a closure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["loss_of", "needs_closure"]


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """Evaluates the closure of a step, if there is one.

    Arguments
    ---------
    closure : callable | None
        Computes loss and gradients anew.

    Returns
    -------
    float | None
        The loss.

    Example
    -------
    >>> loss_of(lambda: 2.0), loss_of(None)
    (2.0, None)
    """
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def needs_closure(optimizer: Any) -> bool:
    """Whether the step of an optimizer demands an argument.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        Any.

    Returns
    -------
    bool
        True for LBFGS, for instance.

    Example
    -------
    >>> needs_closure(torch.optim.LBFGS([torch.zeros(1)]))
    True
    >>> needs_closure(torch.optim.SGD([torch.zeros(1)], lr=0.1))
    False
    """
    parameters = inspect.signature(optimizer.step).parameters.values()
    return any(
        x.default is inspect.Parameter.empty
        and x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)
        for x in parameters
    )
