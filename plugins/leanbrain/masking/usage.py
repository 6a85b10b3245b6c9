"""What a model does with its parameters, read off autograd's graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.autograd.function import BackwardCFunction

from leanbrain.masking._usual_names import NO_PRODUCT
from leanbrain.masking._walk import Modules, walk_modules, walk_parameters

__all__ = ["LAST_LAYER", "NO_PRODUCT", "UsageWatch"]

LAST_LAYER = "the last layer before the loss"

# Names of autograd's nodes. In products zeros of a weight are work spared;
# lookups read rows; what bends values makes something else of a zero. Copies
# can be larger than what they are of, parts are smaller.
_PRODUCTS = re.compile(
    r"(?<!cu)mm|mv|dot|linear|conv|rnn|lstm|gru|attention", re.I
)
_LOOKUPS = re.compile(r"index|embedding|gather|take", re.I)
_BENDS = re.compile(r"softmax|exp(?!and)|sigmoid|softplus|tanh|log", re.I)
_COPIES = re.compile(r"expand|repeat|cat|stack|tocopy", re.I)
_PARTS = re.compile(r"slice|select|split|unbind|chunk|narrow|diag|tri", re.I)

Node = Any
# Which parameters multiply in a node; `_MANY` where several nodes differ.
Group = frozenset[int]
_MANY: Group = frozenset({-1})


class UsageWatch:
    """Watches forward passes and says which matrices are no weights to prune.

    A weight takes part in products (matrix products, convolutions, recurrent
    layers). One whose products no other weight's product follows is of a last
    layer. A parameter that is read by index or entry by entry, such as a
    codebook or a table of positions, is not multiplied at all.

    Arguments
    ---------
    modules : nn.Module or mapping of them
        As they are called, after wrapping and compiling.
    ignored : collection of int
        `id` of parameters that do not count as following others: those of a
        discriminator.

    Example
    -------
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> watch = UsageWatch(model)
    >>> loss = model(torch.ones(1, 3)).sum()
    >>> list(watch.finish().values())
    ['the last layer before the loss']
    >>> watch.finish()  # no longer there
    {}
    """

    def __init__(self, modules: Modules, ignored: Collection[int] = ()) -> None:
        self._matrices = {
            id(p): p
            for _, _, p in walk_parameters(modules)
            # Of one output, too: it is a layer, although no target.
            if p.requires_grad and p.dim() > 1
        }
        self._ignored = frozenset(ignored)
        self._roots: set[Node] | None = set()
        layers = {
            id(module): module
            for _, module in walk_modules(modules)
            if any(id(p) in self._matrices for p in module.parameters())
        }
        # A function, which a copy of the model shares; not a bound method,
        # which it would copy too.
        self._handles = [
            module.register_forward_hook(_recorder(self))
            for module in layers.values()
            if not isinstance(module, torch.jit.ScriptModule)
        ]

    def record(self, output: Any) -> None:
        """Takes down the outputs of a layer."""
        if self._roots is not None:
            self._roots.update(_nodes_of(output))

    def finish(self) -> dict[int, str]:
        """Stops watching; says what is not to be pruned, and why.

        Returns
        -------
        dict
            As `judge`.
        """
        for handle in self._handles:
            handle.remove()
        found = self.judge()
        self._roots, self._handles = None, []
        return found

    def judge(self) -> dict[int, str]:
        """Says what is not to be pruned, of what ran since the last call.

        Returns
        -------
        dict
            `id` of a parameter -> reason.
        """
        roots = self._roots
        if not roots:
            return {}
        self._roots = set()
        users = _users(roots)
        found: dict[int, str] = {}
        products: dict[int, set[Node]] = {}
        for node in users:
            # Only accumulators have a variable.
            key = id(getattr(node, "variable", None))
            if key in self._matrices:
                own, others = _uses(node, self._matrices[key].numel(), users)
                products[key] = own
                if others:
                    found[key] = NO_PRODUCT
        for key in _last(products, self._ignored):
            found.setdefault(key, LAST_LAYER)
        return found


def _recorder(watch: UsageWatch) -> Callable[..., None]:
    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        """Notes what a layer gave."""
        watch.record(output)

    return record


def _nodes_of(output: Any) -> Iterator[Node]:
    """The nodes of all tensors in a layer's output."""
    if isinstance(output, torch.Tensor):
        if output.grad_fn is not None:
            yield output.grad_fn
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _nodes_of(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _nodes_of(value)


def _users(roots: Iterable[Node]) -> dict[Node, list[Node]]:
    """Every node below some nodes, with those that use what it computes."""
    users: dict[Node, list[Node]] = {root: [] for root in roots}
    waiting = list(users)
    while waiting:
        node = waiting.pop()
        for below, _ in node.next_functions:
            if below is None:
                continue
            if below not in users:
                users[below] = []
                waiting.append(below)
            users[below].append(node)
    return users


def _uses(
    leaf: Node, size: int, users: Mapping[Node, list[Node]]
) -> tuple[set[Node], bool]:
    """The products that a parameter enters, and whether it is used otherwise.

    What keeps its size, such as a transposition or a normalisation, leads on.
    """
    products: set[Node] = set()
    otherwise = False
    seen, waiting = {leaf}, [(leaf, size)]
    while waiting:
        below, size = waiting.pop()
        for node in users[below]:
            if node in seen:
                continue
            seen.add(node)
            name, now = node.name(), _size(node)
            if isinstance(node, BackwardCFunction) or _PRODUCTS.search(name):
                products.add(node)  # nobody can look into a Function
            elif _LOOKUPS.search(name) or _BENDS.search(name):
                otherwise = True
            elif _COPIES.search(name) or _PARTS.search(name):
                waiting.append((node, now))
            elif now == size:
                waiting.append((node, size))
            elif now > size:
                otherwise = True
            # What is smaller is a norm or a sum: no weight any more.
    return products, otherwise


def _size(node: Node) -> int:
    """How many numbers a node computes; its first output's."""
    size = 1
    for length in node._input_metadata[0].shape:
        size *= int(length)
    return size


def _last(
    products: Mapping[int, set[Node]], ignored: Collection[int]
) -> list[int]:
    """The parameters whose products are followed by none of another."""
    groups: dict[Node, Group] = {}
    for key, nodes in products.items():
        for node in nodes:
            groups[node] = groups.get(node, frozenset()) | {key}
    followers = _followers(
        {n: group for n, group in groups.items() if not group <= set(ignored)}
    )
    return [
        key
        for key, nodes in products.items()
        if nodes
        and all(key in followers.get(node, frozenset({key})) for node in nodes)
    ]


def _followers(groups: Mapping[Node, Group]) -> dict[Node, Group]:
    """Whose products follow each node; each changes twice at most."""
    found: dict[Node, Group] = {}
    waiting = list(groups)
    while waiting:
        node = waiting.pop()
        told = [x[node] for x in (found, groups) if node in x]
        passed = told[0] if all(x == told[0] for x in told) else _MANY
        for below, _ in node.next_functions:
            if below is None:
                continue
            merged = passed if below not in found else found[below]
            if merged != passed:
                merged = _MANY
            if found.get(below) != merged:
                found[below] = merged
                waiting.append(below)
    return found
