"""MaskAware: a layer that runs each utterance through its own pathway."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn
from torch._compile import _disable_dynamo

from leanbrain.checks import UserError
from leanbrain.masking._bypass import weights_read_directly
from leanbrain.masking._lanes import Lane
from leanbrain.masking._masked_weights import swapped
from leanbrain.masking._rows import Grouping, Rows, RowSpec, Taken, join

__all__ = ["KNOWN", "MaskAware", "find_aware", "is_routed", "make_aware"]

KNOWN: dict[type, type] = {}
"""Stock layer -> its mask-aware class."""


class MaskAware:
    """Mixin in front of a stock layer; made for `class X(MaskAware, Stock)`.

    Without a router the stock `forward` runs and nothing else. Parameters,
    their names and the constructor are the stock layer's.
    """

    spec: ClassVar[RowSpec]
    stock: ClassVar[type[nn.Module]]
    _lane: Lane | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if MaskAware not in cls.__bases__:
            return  # derived by a user, with a `forward` of their own perhaps
        own = cls.__mro__
        cls.stock = own[own.index(MaskAware) + 1]
        cls.forward = _routed(cls.stock.forward)  # type: ignore[attr-defined]
        KNOWN[cls.stock] = cls

    def row_spec(self) -> RowSpec:
        """Which arguments and results of this layer have rows."""
        return self.spec

    def __prepare_scriptable__(self) -> nn.Module:
        """TorchScript compiles the stock layer: it knows no pathways."""
        if self._lane is not None:
            raise _no_torchscript(self._lane)
        plain: nn.Module = self.stock.__new__(self.stock)
        plain.__dict__ = self.__dict__
        return plain


def is_routed(module: nn.Module) -> bool:
    """Says whether a layer is mask-aware and runs what routes its rows.

    A class derived from a mask-aware one may have a `forward` of its own. It
    must call that of its base, and read no weight past it.

    Example
    -------
    >>> from leanbrain.masking.nnet.linear import Linear
    >>> class Own(Linear):
    ...     def forward(self, x):
    ...         return torch.nn.functional.linear(x, self.w.weight)
    >>> is_routed(Linear(2, input_size=2)), is_routed(Own(2, input_size=2))
    (True, False)
    """
    if not isinstance(module, MaskAware):
        return False
    own = next(x for x in type(module).__mro__ if "forward" in vars(x))
    if MaskAware in own.__bases__:
        return True
    try:
        source = inspect.getsource(vars(own)["forward"])
    except (OSError, TypeError):
        return False
    return "super()" in source and not weights_read_directly(module)


def _routed(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the `forward` of a mask-aware layer, with the stock signature."""
    signature = inspect.signature(stock)

    @functools.wraps(stock)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        lane = self._lane
        if lane is None:
            return stock(self, *args, **kwargs)
        lane.ran = True
        if not lane.route.active:
            if torch.jit.is_tracing():
                raise _no_torchscript(lane)
            return stock(self, *args, **kwargs)
        # Whether this is being compiled cannot be asked: torch.compile gives
        # up on some layers, and begins anew in what they call.
        may_compile = "torch._dynamo" in sys.modules
        run = _run_uncompiled if may_compile else _run
        return run(self, lane, stock, signature, args, kwargs)

    # SpeechBrain's containers look for arguments such as `lengths`.
    forward.__signature__ = signature  # type: ignore[attr-defined]
    return forward


def _run(
    layer: Any,
    lane: Lane,
    stock: Callable[..., Any],
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Runs the rows of each pathway under its own weights."""
    if lane.layer is not layer:
        raise UserError(
            "A layer with a router must not be copied part by part, as "
            f"DataParallel does, got {lane.name} (DDP does not)."
        )
    if torch.jit.is_tracing():
        raise _no_torchscript(lane)
    given = signature.bind(layer, *args, **kwargs)
    weights, spec = lane.weights, layer.row_spec()
    grouping = lane.grouping(_size(spec, given.arguments))
    calls = [
        _arguments(lane, spec, given, grouping, i)
        for i in range(len(grouping.groups))
    ]
    parts = []
    for (key, _), mine in zip(grouping.groups, calls, strict=True):
        with swapped(weights.places, weights.of(key)):
            parts.append(stock(*mine.args, **mine.kwargs))
    if len(parts) == 1:
        return parts[0]
    return join(parts, spec.outputs, grouping, spec.ragged)


# torch.compile breaks its graph here: what runs where changes with each batch.
# The public decorator imports the compiler where it is applied, this one when
# it is called.
_run_uncompiled = _disable_dynamo(_run)


def _no_torchscript(lane: Lane) -> UserError:
    """Makes the error of a program that would hold one route for ever."""
    return UserError(
        "A layer with a router must not be compiled to TorchScript, got "
        f"{lane.name}."
    )


def _size(spec: RowSpec, arguments: Mapping[str, Any]) -> int | None:
    """How many rows the first argument has; None if it does not tell."""
    name, where = next(iter(spec.inputs.items()))
    value = arguments.get(name)
    if not isinstance(where, Rows) or not isinstance(value, torch.Tensor):
        return None
    if value.is_nested or value.dim() <= where.dim:
        return None
    return value.shape[where.dim]


def _arguments(
    lane: Lane,
    spec: RowSpec,
    given: inspect.BoundArguments,
    grouping: Grouping,
    number: int,
) -> inspect.BoundArguments:
    """The arguments of one group; all of them if there is one group only."""
    if len(grouping.groups) == 1:
        return given
    taken = Taken(grouping.groups[number][1], grouping.count)
    mine = inspect.BoundArguments(given.signature, given.arguments.copy())
    for name, value in given.arguments.items():
        if name in spec.inputs:
            try:
                mine.arguments[name] = taken.take(value, spec.inputs[name])
            except UserError:
                raise
            except ValueError as error:
                raise lane.wrong_rows(error.args[0]) from error
        if name in spec.copied and number and mine.arguments[name] is value:
            mine.arguments[name] = None if value is None else value.clone()
    return mine


def find_aware(stock: type[nn.Module]) -> type[nn.Module] | None:
    """Finds the mask-aware class of a stock layer.

    A class of one's own that is derived from a known layer and does not
    change `forward` gets one, too.

    Arguments
    ---------
    stock : type
        A class of layers.

    Returns
    -------
    type or None
        None if its `forward` is not known.
    """
    if stock in KNOWN:
        return KNOWN[stock]
    for base in stock.__mro__[1:]:
        known = KNOWN.get(base)
        if known is not None:
            same = getattr(stock, "forward", 0) is getattr(base, "forward", 1)
            return _derive(stock, known) if same else None
    return None


def _derive(stock: type[nn.Module], known: Any) -> type[nn.Module]:
    """Makes the mask-aware class of a class derived from a known layer."""
    spec = getattr(known, "spec", None)
    made = make_aware(stock, spec)
    made.row_spec = known.row_spec
    return made


def make_aware(stock: type[nn.Module], spec: RowSpec | None) -> Any:
    """Makes a mask-aware class that no module names.

    Arguments
    ---------
    stock : type
        A class of layers.
    spec : RowSpec or None
        Where it has rows; None if its `row_spec` will say so.

    Returns
    -------
    type
        The class; its layers can be copied and pickled.
    """
    members = {
        "spec": spec,
        "__doc__": f"`{stock.__name__}`, aware of pathways.",
        "__reduce_ex__": _reduce,
    }
    return type(stock.__name__, (MaskAware, stock), members)


def _reduce(self: Any, protocol: Any) -> Any:
    """Pickles a layer of a derived class by the class it is made from."""
    state = getattr(self, "__getstate__", None)  # of every object since 3.11
    return _rebuild, (self.stock,), state() if state else self.__dict__


def _rebuild(stock: type[nn.Module]) -> Any:
    from leanbrain.masking.nnet.known import aware_class

    made: Any = aware_class(stock)
    return made.__new__(made)
