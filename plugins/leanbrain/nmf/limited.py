"""A differentiable function on as many threads as it is worth, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leanbrain.threads import Threads

__all__ = ["on_threads"]


def on_threads(
    function: Callable[..., Tensor], macs: float, *inputs: Tensor
) -> Tensor:
    """Calls a function on few threads, and goes back through it on few.

    The backward pass runs when somebody asks for it, with the threads of that
    moment: to limit those as well, the function has a graph of its own. It
    can be differentiated once.

    Arguments
    ---------
    function : Callable
        Of the inputs alone; returns one tensor.
    macs : float
        Multiply-adds of the largest of its operations, as of ``Threads``.
    *inputs : Tensor
        On one device; a GPU's are given to the function as they are.

    Returns
    -------
    Tensor

    Example
    -------
    >>> x = torch.tensor([2.0, 3.0], requires_grad=True)
    >>> on_threads(torch.square, 2, x).sum().backward()
    >>> x.grad
    tensor([4., 6.])
    """
    if inputs[0].device.type != "cpu":
        return function(*inputs)
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        result: Tensor = _Limited.apply(function, macs, *inputs)
        return result
    with Threads(macs):
        return function(*inputs)


class _Limited(torch.autograd.Function):
    """A function with its own graph, which is passed under ``Threads``."""

    @staticmethod
    def forward(
        ctx: Any, function: Callable[..., Tensor], macs: float, *inputs: Tensor
    ) -> Tensor:
        """Computes the function and keeps its graph."""
        ctx.macs = macs
        ctx.inputs = [
            x.detach().requires_grad_(x.requires_grad) for x in inputs
        ]
        with torch.enable_grad(), Threads(macs):
            ctx.result = function(*ctx.inputs)
        found: Tensor = ctx.result.detach()
        return found

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Goes back through the graph that was kept."""
        needed = ctx.needs_input_grad[2:]
        wanted = [x for x, n in zip(ctx.inputs, needed, strict=True) if n]
        with Threads(ctx.macs):
            # Kept, since whoever goes back twice has kept the outer graph.
            found = iter(
                torch.autograd.grad(
                    ctx.result, wanted, gradient, retain_graph=True
                )
            )
        return None, None, *(next(found) if n else None for n in needed)
