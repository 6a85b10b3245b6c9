"""Every name of every module and parameter of one model or of several."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from leanbrain.checks import UserError

__all__ = ["Modules", "find_wrapped", "walk_modules", "walk_parameters"]

Modules = nn.Module | Mapping[str, nn.Module]
"""A model, or several by name, such as `brain.modules`."""


def walk_modules(modules: Modules) -> Iterator[tuple[str, nn.Module]]:
    """Yields every name of every module, outer ones before inner ones."""
    for key, root in _roots(modules).items():
        yield from root.named_modules(prefix=key, remove_duplicate=False)


def walk_parameters(
    modules: Modules,
) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yields every name of every parameter with the module that owns it."""
    for prefix, owner in walk_modules(modules):
        for name, parameter in owner.named_parameters(
            prefix=prefix, recurse=False, remove_duplicate=False
        ):
            if is_lazy(parameter):
                raise UserError(
                    "Lazy layers must have seen a batch before, got "
                    f"{name!r} without a shape."
                )
            yield name, owner, parameter


def find_wrapped(modules: Modules) -> str | None:
    """Finds a model that something wraps; what runs there was fixed before.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name.

    Returns
    -------
    str or None
        Its name and the wrapper's, by DDP, DataParallel, TorchScript or
        torch.compile.

    Example
    -------
    >>> find_wrapped({"asr": nn.DataParallel(nn.Linear(2, 2))})
    "'asr' in DataParallel"
    """
    wrappers: tuple[type, ...] = (
        nn.parallel.DistributedDataParallel,
        nn.DataParallel,
        torch.jit.ScriptModule,
    )
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is not None:  # else nothing was compiled, and its import is slow
        wrappers += (dynamo.OptimizedModule,)
    for name, module in walk_modules(modules):
        if isinstance(module, wrappers):
            return f"{name or 'the model'!r} in {type(module).__name__}"
    return None


def _roots(modules: Any) -> Mapping[str, nn.Module]:
    """One model or several, as several; anything else is refused."""
    if isinstance(modules, nn.Module):
        return {"": modules}
    named = isinstance(modules, Mapping)
    wrong = list(modules.values()) if named else [modules]
    wrong = [x for x in wrong if not isinstance(x, nn.Module)]
    if wrong or not named:
        raise UserError(
            "`modules` must be a module or modules by name, such as "
            f"`brain.modules`, got {type((wrong or [modules])[0]).__name__}."
        )
    return modules
