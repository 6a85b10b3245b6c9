"""Facts of an optimizer that its times cannot be compared without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from leanbrain.optbench.optimizers.split import bare_step
from leanbrain.optbench.trials.evaluation import start_training

__all__ = ["kernel_flavour", "state_bytes_per_parameter", "weights_hash"]


def kernel_flavour(optimizer: torch.optim.Optimizer) -> str | None:
    """Says how an optimizer goes through its parameters, by watching it.

    Options say less: an optimizer may be made of others, and torch chooses
    by device where none is given.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        After the training: it makes one step with gradients of zero, which
        may change weights and state.

    Returns
    -------
    str | None
        "fused" (one kernel for all), "foreach" (one per operation) or
        "for-loop" (one per operation and tensor), joined by "+" where it does
        several; None if it does not step any more.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> kernel_flavour(torch.optim.AdamW([weight]))
    'for-loop'
    >>> kernel_flavour(torch.optim.AdamW([weight], foreach=True))
    'foreach'
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    start_training(optimizer)
    watched = _Watch()
    try:
        with watched:
            bare_step(type(optimizer))(optimizer)
    except Exception:
        # Of a training that went wrong; the kernels explain no time then.
        return None
    return "+".join(sorted(watched.flavours)) or None


class _Watch(TorchDispatchMode):
    """Takes down what kinds of operations change tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.flavours: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith("_fused_"):
            self.flavours.add("fused")
        elif name.startswith("_foreach_"):
            self.flavours.add("foreach")
        elif name.endswith("_") and args and _is_array(args[0]):
            self.flavours.add("for-loop")
        return func(*args, **(kwargs or {}))


def _is_array(value: Any) -> bool:
    """Whether a value is a tensor and no mere counter of steps."""
    return isinstance(value, torch.Tensor) and value.ndim > 0


def state_bytes_per_parameter(optimizer: torch.optim.Optimizer) -> float:
    """The memory that an optimizer needs besides weights and gradients.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        After at least one step.

    Returns
    -------
    float
        Bytes of all tensors of its state by the number of weights.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(100))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> state_bytes_per_parameter(optimizer)
    4.0
    """
    state = optimizer.state_dict()["state"]
    size = sum(x.numel() * x.element_size() for x in _tensors(state))
    held = {id(p): p for g in optimizer.param_groups for p in g["params"]}
    return size / max(1, sum(p.numel() for p in held.values()))


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested containers."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)


def weights_hash(modules: torch.nn.Module) -> str:
    """A hash of the weights and buffers: trials that are paired start alike.

    Arguments
    ---------
    modules : torch.nn.Module
        The model.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, tensor in modules.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(name.encode() + str(tensor.dtype).encode())
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
