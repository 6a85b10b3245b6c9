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

# Name of a variable -> what it stands for, and what is below that.
_Aliases = dict[str, list[tuple[ast.expr, tuple[str, ...]]]]

# Look at weights of their parts to choose a way, and leave them to the parts.
_LOOKING = {nn.TransformerEncoder.forward}
# What is asked of a weight without computing with it.
_HARMLESS = {
    *("device", "dim", "dtype", "element_size", "is_cuda", "ndim", "numel"),
    *("is_floating_point", "requires_grad", "shape", "size"),
}


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
        id of a parameter -> its path below the module. Where an index chooses
        a part, each may be meant.

    Example
    -------
    >>> attention = nn.MultiheadAttention(4, 2)
    >>> sorted(weights_read_directly(attention).values())
    ['out_proj.bias', 'out_proj.weight']
    """
    kind: Any = type(module)
    if kind.forward in _LOOKING:
        return {}
    # Parts that an index chooses may be any.
    chains = [c for c in _chains_of(kind) if len(c) > 1]
    return {
        id(parameter): path
        for path, parameter in module.named_parameters(remove_duplicate=False)
        for chain in chains
        if "." in path and _reads(chain, path.split("."))
    }


def _reads(chain: tuple[str, ...], path: list[str]) -> bool:
    """Says whether a chain goes to a parameter, or on from there."""
    return len(chain) >= len(path) and all(
        a in ("*", b) for a, b in zip(chain, path, strict=False)
    )


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
    aliases = _aliases(tree)
    inner: set[int] = set()
    for node in ast.walk(tree):
        inner.update(map(id, _only_asked_for(node)))
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Attribute | ast.Subscript):
            inner.add(id(node.value))
        if id(node) in inner:
            # A longer chain was yielded, cut where it asks for no numbers.
            continue
        for chain in _spell(node, aliases):
            if chain and chain[-1] not in _HARMLESS:
                yield chain


def _only_asked_for(node: ast.AST) -> list[ast.expr]:
    """What stands in `isinstance(x, ..)` or `x is None`: no computation."""
    if isinstance(node, ast.Call):
        asked = getattr(node.func, "id", None) == "isinstance"
        return node.args[:1] if asked else []
    if isinstance(node, ast.Compare):
        same = all(isinstance(x, ast.Is | ast.IsNot) for x in node.ops)
        return [node.left, *node.comparators] if same else []
    return []


def _aliases(tree: ast.AST) -> _Aliases:
    """Finds names for parts: ``conv = self.conv``, ``for x in self.layers``."""
    found: _Aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                _name(target, node.value, (), found)
        elif isinstance(node, ast.For | ast.comprehension):
            _name_each(node.target, node.iter, found)
    return found


def _name_each(target: ast.expr, values: ast.expr, found: _Aliases) -> None:
    """Notes the names of a loop, also over `zip` and `enumerate`."""
    if isinstance(values, ast.Call) and isinstance(target, ast.Tuple):
        # Of `enumerate` the last name is meant, of `zip` each.
        firsts = len(target.elts) - len(values.args)
        for one, each in zip(target.elts[firsts:], values.args, strict=False):
            _name_each(one, each, found)
    else:
        _name(target, values, ("*",), found)


def _name(
    target: ast.expr, value: ast.expr, below: tuple[str, ...], found: _Aliases
) -> None:
    """Notes one name."""
    if isinstance(target, ast.Name):
        found.setdefault(target.id, []).append((value, below))


def _spell(node: ast.expr, aliases: _Aliases) -> Iterator[tuple[str, ...]]:
    """Spells `self.a[0].b` as ("a", "0", "b"); nothing for anything else."""
    names: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Subscript):
            place = node.slice
            known = isinstance(place, ast.Constant)
            names.append(str(place.value) if known else "*")  # type: ignore
        else:
            return
        node = node.value
    chain = tuple(reversed(names))
    if node.id == "self":
        yield chain
        return
    # Without the name itself: `x = x.weight` is no name for a part.
    others = {k: v for k, v in aliases.items() if k != node.id}
    for value, below in aliases.get(node.id, []):
        for start in _spell(value, others):
            yield (*start, *below, *chain)
