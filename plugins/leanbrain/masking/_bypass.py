"""Finds weights that are used, or made, past the `forward` of a layer."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import nn

__all__ = ["weights_made_by_hooks", "weights_read_directly"]

# What is asked of a weight without computing with it.
_HARMLESS = {"device", "dtype", "shape", "size", "requires_grad", "ndim"}


def weights_read_directly(module: nn.Module) -> dict[int, str]:
    """Finds the weights of parts that a module's `forward` reads itself.

    Looks into the source of `forward` and of the methods that it calls: such
    as "conv.weight" for ``F.conv1d(x, self.conv.weight)``.

    Arguments
    ---------
    module : nn.Module
        The module; the sources of its parts are not looked into.

    Returns
    -------
    dict
        id of a parameter -> its path below the module.

    Example
    -------
    >>> attention = nn.MultiheadAttention(4, 2)
    >>> sorted(weights_read_directly(attention).values())
    ['out_proj.bias', 'out_proj.weight']
    """
    own = {
        path: id(parameter)
        for path, parameter in module.named_parameters(remove_duplicate=False)
    }
    found: dict[int, str] = {}
    kind: Any = type(module)
    for chain in _chains_of(kind):
        for end in range(2, len(chain) + 1):
            path = ".".join(chain[:end])
            if path in own:
                found[own[path]] = path
    return found


def weights_made_by_hooks(layer: nn.Module) -> dict[int, str]:
    """Finds the parameters of which hooks make a weight before `forward`.

    As `torch.nn.utils.spectral_norm` and `torch.nn.utils.prune` do; hooks of
    a layer's parts run within its `forward`, those of `weight_norm` are known.

    Arguments
    ---------
    layer : nn.Module
        The layer.

    Returns
    -------
    dict
        id of a parameter -> the weight that is made.

    Example
    -------
    >>> layer = nn.utils.spectral_norm(nn.Linear(2, 2))
    >>> list(weights_made_by_hooks(layer).values())
    ['weight']
    """
    return {
        id(parameter): name.removesuffix("_orig")
        for name, parameter in layer.named_parameters(recurse=False)
        if name.endswith("_orig") and layer._forward_pre_hooks
    }


@cache
def _chains_of(kind: Any) -> frozenset[tuple[str, ...]]:
    """Goes through the methods that `forward` calls, by their names."""
    todo, seen = ["forward"], {"forward"}
    found: set[tuple[str, ...]] = set()
    while todo:
        tree = _parse(getattr(kind, todo.pop(), None))
        if tree is None:
            continue
        for chain in _chains(tree):
            if len(chain) == 1 and hasattr(kind, chain[0]):
                if chain[0] not in seen:
                    seen.add(chain[0])
                    todo.append(chain[0])
            elif len(chain) > 1:
                found.add(chain)
    return frozenset(found)


def _parse(method: Any) -> ast.AST | None:
    """Reads the source of a method; None if there is none."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(method)))
    except (OSError, TypeError, SyntaxError):
        return None


def _chains(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Yields what stands behind `self.`: ("conv", "weight"), ("step",)."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Attribute | ast.Subscript):
            inner.add(id(node.value))
        if id(node) in inner:
            # A longer chain was yielded, cut where it asks for no numbers.
            continue
        chain = _chain(node)
        if chain and chain[-1] in _HARMLESS:
            continue
        if chain:
            yield chain


def _chain(node: ast.expr) -> tuple[str, ...]:
    """Spells `self.a[0].b` as ("a", "0", "b"); () for anything else."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            if not isinstance(node.slice, ast.Constant):
                return ()
            names.append(str(node.slice.value))
            node = node.value
        elif isinstance(node, ast.Name) and node.id == "self":
            return tuple(reversed(names))
        else:
            return ()
