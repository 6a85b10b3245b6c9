"""Every name of every module and parameter of one model or of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

__all__ = ["Modules", "walk_modules", "walk_parameters"]

Modules = nn.Module | Mapping[str, nn.Module]
"""A model, or several by name, such as `brain.modules`."""


def walk_modules(modules: Modules) -> Iterator[tuple[str, nn.Module]]:
    """Yields every name of every module, outer ones before inner ones."""
    roots = {"": modules} if isinstance(modules, nn.Module) else modules
    for key, root in roots.items():
        yield from root.named_modules(prefix=key, remove_duplicate=False)


def walk_parameters(
    modules: Modules,
) -> Iterator[tuple[str, nn.Module, nn.Parameter]]:
    """Yields every name of every parameter with the module that owns it."""
    for prefix, owner in walk_modules(modules):
        for name, parameter in owner.named_parameters(
            prefix=prefix, recurse=False, remove_duplicate=False
        ):
            yield name, owner, parameter
