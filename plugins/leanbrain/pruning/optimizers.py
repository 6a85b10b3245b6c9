"""Optimizers within optimizers, and what is done around their steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MethodType
from typing import Any

__all__ = ["around_step", "looks_like_one", "moved_by", "parts_of"]


def looks_like_one(value: Any) -> bool:
    """Whether something can be stepped as an optimizer, of whatever class.

    Example
    -------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    >>> looks_like_one(optimizer), looks_like_one(scheduler)
    (True, False)
    """
    return (
        callable(getattr(value, "step", None))
        and callable(getattr(value, "zero_grad", None))
        and not isinstance(value, type)
    )


def parts_of(optimizer: Any) -> list[Any]:
    """An optimizer and those that it holds, the innermost last.

    Wrappers such as SAM or Lookahead keep the optimizer that they build on as
    an attribute, or several in a list or dict.

    Example
    -------
    >>> import torch
    >>> class Wrapper:
    ...     def __init__(self, base):
    ...         self.base = base
    >>> base = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> parts_of(Wrapper(base))[1:] == [base]
    True
    """
    found: dict[int, Any] = {id(optimizer): optimizer}
    level = [optimizer]
    while level:
        inner = [
            value
            for one in level
            for value in _held(getattr(one, "__dict__", {}).values())
            if looks_like_one(value) and id(value) not in found
        ]
        found.update({id(value): value for value in inner})
        level = inner
    return list(found.values())


def moved_by(optimizers: Iterable[Any]) -> set[int]:
    """The `id` of every parameter that optimizers, or their parts, move."""
    return {
        id(parameter)
        for optimizer in optimizers
        for part in parts_of(optimizer)
        for group in getattr(part, "param_groups", ())
        for parameter in group["params"]
    }


def around_step(optimizer: Any, around: Callable[..., Any]) -> None:
    """Lets a function run the step of an optimizer, of this object alone.

    With the same function only the first call does something. torch's hooks
    would not do: wrappers that do not call the constructor of
    ``torch.optim.Optimizer`` have none, and those that inherit `step` from
    one another fire them twice.

    Arguments
    ---------
    optimizer : Any
        With `step`.
    around : callable
        Called with the optimizer, its bound `step`, and the arguments.

    Example
    -------
    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> around_step(optimizer, lambda _, step, *args: print(step(*args)))
    >>> optimizer.step()
    None
    """
    inner = optimizer.step
    if getattr(inner, "around", None) is around:
        return

    @functools.wraps(inner)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(self, inner, *args, **kwargs)

    step.around = around  # type: ignore[attr-defined]
    # Bound, as schedulers of the learning rate bind it once more.
    optimizer.step = MethodType(step, optimizer)


def _held(values: Iterable[Any]) -> Iterator[Any]:
    """Values, and what is in lists and dicts among them."""
    for value in values:
        yield value
        if isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list | tuple):
            yield from value
