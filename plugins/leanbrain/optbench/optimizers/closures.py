"""Optimizers whose step evaluates the loss again, by a closure."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["needs_closure"]


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
    >>> import torch
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
