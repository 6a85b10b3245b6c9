"""Multiply-adds of every weight, measured while a model runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

__all__ = ["macs"]

Modules = nn.Module | Mapping[str, nn.Module]

# Their weights are looked up or scale what they are given, entry by entry.
_ENTRY_BY_ENTRY = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []),
)


def macs(run: Callable[[], Any], modules: Modules) -> dict[str, float]:
    """Counts the multiply-adds of every weight in one call of a function.

    Counted are linear layers, convolutions, recurrent layers and the
    projections of attention, with the padded frames of a batch unless it is
    packed. Biases and what has no weights are not.

    Arguments
    ---------
    run : callable
        Runs the forward pass to measure, of a typical batch for one.
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`; as for
        `select_targets`, which gives parameters the same names.

    Returns
    -------
    dict
        Name of a parameter -> multiply-adds, 0 for what did not run. Matrices
        of layers that are not known are missing, with a warning.

    Example
    -------
    >>> layer = nn.Linear(4, 3)
    >>> macs(lambda: layer(layer.weight.new_ones(2, 5, 4)), layer)
    {'weight': 120.0}
    """
    names = _names(modules)
    counted: dict[str, float] = {}
    handles = []

    def add(layer: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Counts what a call of a layer multiplies."""
        kind = _kind_of(layer)
        assert kind is not None  # only known layers have this hook
        uses = kind.uses(layer, args, kwargs, out)
        for weight, times in zip(kind.weights(layer), uses, strict=True):
            counted[names[id(weight)]] += times * weight.numel()

    for layer in _layers(modules):
        kind = _kind_of(layer)
        if kind is not None:
            for weight in kind.weights(layer):
                counted[names[id(weight)]] = 0.0
            handles.append(layer.register_forward_hook(add, with_kwargs=True))
    _warn_of_unknown(modules, names, counted)
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return counted


@dataclass(frozen=True)
class _Kind:
    """A family of layers: their weights, and how often a call uses each."""

    layers: tuple[type, ...]
    weights: Callable[[Any], Sequence[nn.Parameter]]
    uses: Callable[[Any, tuple[Any, ...], dict[str, Any], Any], Sequence[float]]


def _kind_of(layer: nn.Module) -> _Kind | None:
    """Finds the family of a layer."""
    if isinstance(layer, _speechbrain_attention()):
        return _BARE_PROJECTION
    return next((k for k in _KINDS if isinstance(layer, k.layers)), None)


def _speechbrain_attention() -> tuple[type, ...]:
    """Returns the attention layers that multiply with a bare parameter."""
    # A model has them only if the file was imported, which takes seconds.
    attention = sys.modules.get("speechbrain.nnet.attention")
    names = ("RelPosMHAXL", "RoPEMHA")
    return tuple(getattr(attention, n) for n in names if hasattr(attention, n))


def _names(modules: Modules) -> dict[int, str]:
    """Maps the identity of every parameter to its first qualified name."""
    names: dict[int, str] = {}
    for key, root in _roots(modules).items():
        for name, parameter in root.named_parameters(prefix=key):
            names.setdefault(id(parameter), name)
    return names


def _layers(modules: Modules) -> Iterator[nn.Module]:
    """Yields every module once, whatever its number of names."""
    seen: set[nn.Module] = set()
    for root in _roots(modules).values():
        for _, layer in root.named_modules(memo=seen):
            yield layer


def _roots(modules: Modules) -> Mapping[str, nn.Module]:
    """Gives a single model the empty name."""
    return {"": modules} if isinstance(modules, nn.Module) else modules


def _warn_of_unknown(
    modules: Modules, names: Mapping[int, str], counted: Mapping[str, float]
) -> None:
    """Warns of matrices that belong to no known layer."""
    matrices = [
        names[id(parameter)]
        for layer in _layers(modules)
        if not isinstance(layer, _ENTRY_BY_ENTRY)
        for leaf, parameter in layer.named_parameters(recurse=False)
        if "bias" not in leaf and sum(s > 1 for s in parameter.shape) > 1
    ]
    unknown = [name for name in matrices if name not in counted]
    if unknown:
        warnings.warn(
            "Multiply-adds of layers that are not known are left out: "
            f"{', '.join(unknown[:5])} ({len(unknown)} in all).",
            stacklevel=3,
        )


def _stored(layer: nn.Module) -> list[nn.Parameter]:
    """Finds the parameter from which the weight of a layer is made."""
    own = dict(layer.named_parameters())
    # After the plain one: weight norm and other parametrizations.
    names = (
        "weight",
        "weight_v",
        "parametrizations.weight.original1",
        "parametrizations.weight.original",
    )
    return [own[name] for name in names if name in own][:1]


def _matrices(layer: nn.Module) -> list[nn.Parameter]:
    """Finds the weights of a recurrent layer."""
    own = layer.named_parameters(recurse=False)
    return [weight for name, weight in own if name.startswith("weight")]


def _projections(layer: Any) -> list[nn.Parameter]:
    """Finds the projections of attention: one or three, and the last one."""
    if layer.in_proj_weight is not None:
        return [layer.in_proj_weight, *_stored(layer.out_proj)]
    three = [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight]
    return [*three, *_stored(layer.out_proj)]


def _in_projection(layer: Any) -> list[nn.Parameter]:
    """Finds the one matrix for query, key and value, if it is one."""
    weight = getattr(layer, "in_proj_weight", None)
    return [] if weight is None else [weight]


def _linear_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> list[float]:
    """A matrix serves every row."""
    return [out.numel() / layer.out_features] * len(_stored(layer))


def _conv_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> list[float]:
    """A kernel serves every place of the output, padding included."""
    return [out.numel() / layer.out_channels] * len(_stored(layer))


def _transposed_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
) -> list[float]:
    """A kernel serves every place of the input."""
    size = _input(args, kwargs, "input").numel()
    return [size / layer.in_channels] * len(_stored(layer))


def _recurrent_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> list[float]:
    """All matrices serve every frame, the first one with its zero state too."""
    given = _input(args, kwargs, "input")
    rows = given.data if isinstance(given, PackedSequence) else given
    return [rows.numel() / layer.input_size] * len(_matrices(layer))


def _in_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> list[float]:
    """A third of the rows serves each of query, key and value."""
    three = _tokens(args, kwargs)
    return [sum(three) / 3] * len(_in_projection(layer))


def _attention_uses(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> list[float]:
    """Query, key and value have projections, and the output has as queries."""
    three = _tokens(args, kwargs)
    first = _in_uses(layer, args, kwargs, out) or three
    return [*first, *[three[0]] * len(_stored(layer.out_proj))]


def _tokens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[float]:
    """Counts the rows of query, key and value."""
    return [
        given.numel() / given.shape[-1]
        for place, key in enumerate(("query", "key", "value"))
        for given in [args[place] if place < len(args) else kwargs[key]]
    ]


def _input(args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
    """Returns the first argument, given by place or by name."""
    return args[0] if args else kwargs[name]


_KINDS = (
    _Kind((nn.Linear,), _stored, _linear_uses),
    _Kind((nn.Conv1d, nn.Conv2d, nn.Conv3d), _stored, _conv_uses),
    _Kind(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        _stored,
        _transposed_uses,
    ),
    _Kind((nn.RNNBase, nn.RNNCellBase), _matrices, _recurrent_uses),
    _Kind((nn.MultiheadAttention,), _projections, _attention_uses),
)
_BARE_PROJECTION = _Kind((), _in_projection, _in_uses)
