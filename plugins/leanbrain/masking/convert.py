"""Makes an existing model mask-aware, layer by layer, in place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from leanbrain.checks import UserError
from leanbrain.masking._bypass import (
    weights_made_by_hooks,
    weights_read_directly,
)
from leanbrain.masking._walk import Modules, find_wrapped, walk_modules
from leanbrain.masking.targets import Target, select_targets

__all__ = ["Coverage", "convert", "cover"]


@dataclass(frozen=True)
class Coverage:
    """Which targets mask-aware layers can cover.

    Arguments
    ---------
    layers : dict
        Name of a layer -> its class, of those that hold targets.
    lost : dict
        Name of a target that no layer covers -> why.
    aware : frozenset
        Names of the layers that are mask-aware already.
    """

    layers: dict[str, type]
    lost: dict[str, str]
    aware: frozenset[str] = field(default_factory=frozenset)


def cover(
    modules: Modules, targets: Sequence[Target] | None = None
) -> Coverage:
    """Finds the layers that `convert` would change, and changes nothing.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`.
    targets : Sequence[Target] | None
        The parameters that have masks; None for `select_targets(modules)`.

    Returns
    -------
    Coverage
        What would be converted, and what cannot be covered and why.

    Raises
    ------
    UserError
        If the model is wrapped already, by DDP, TorchScript or torch.compile.

    Example
    -------
    >>> cover(nn.Sequential(nn.Linear(2, 3), nn.ReLU())).layers
    {'0': <class 'torch.nn.modules.linear.Linear'>}
    """
    from leanbrain.masking.nnet._aware import MaskAware

    chosen = select_targets(modules) if targets is None else targets
    _check(modules, chosen)
    wanted = {id(t.parameter): t.name for t in chosen}
    units, outside = _units(modules)
    reasons = _reasons(units.values(), outside.values(), wanted)
    layers, covered = {}, set()
    for name, layer in units.items():
        mine = {id(p) for p in layer.parameters() if id(p) in wanted}
        if mine:
            layers[name] = layer
            covered |= mine - set(reasons)  # a tied weight needs all its owners
    return Coverage(
        {name: type(layer) for name, layer in layers.items()},
        {
            name: reasons.get(key, "it is no parameter of this model")
            for key, name in wanted.items()
            if key not in covered
        },
        frozenset(n for n, x in layers.items() if isinstance(x, MaskAware)),
    )


def convert(
    modules: Modules, targets: Sequence[Target] | None = None
) -> Coverage:
    """Makes the layers of a model mask-aware, in place.

    Modules, parameters, names and results stay what they are: only the class
    of each layer changes. A `PathwayRouter` gives them masks.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`; not wrapped
        yet by DDP or torch.compile.
    targets : Sequence[Target] | None
        The parameters that have masks; None for `select_targets(modules)`.

    Returns
    -------
    Coverage
        What was converted.

    Raises
    ------
    UserError
        If the model is wrapped or was converted before, or if a target can
        not be covered: then with its name and the reason, and nothing has
        changed.

    Example
    -------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.GRU(3, 2))
    >>> sorted(convert(model).layers)
    ['0', '2']
    >>> isinstance(model[0], nn.Linear)
    True
    """
    from leanbrain.masking.nnet._aware import MaskAware

    coverage = cover(modules, targets)
    if coverage.lost:
        name, why = next(iter(coverage.lost.items()))
        raise UserError(
            f"Every target must be of a layer that can be converted, got "
            f"{name!r}: {why}"
            + (
                f" (and {len(coverage.lost) - 1} more)."
                if len(coverage.lost) > 1
                else "."
            )
        )
    if coverage.aware == set(coverage.layers):
        raise UserError(
            "The model must not be converted twice, got mask-aware layers "
            f"only ({_list(coverage.layers)})."
        )
    for name, layer in walk_modules(modules):
        # A layer with two names comes twice.
        if name in coverage.layers and not isinstance(layer, MaskAware):
            layer.__class__ = _aware_class_of(layer)
    return coverage


def _aware_class_of(layer: nn.Module) -> Any:
    """The class that a layer gets; one that PyTorch made is made anew."""
    from leanbrain.masking.nnet.known import aware_class

    kind = type(layer)
    if not is_parametrized(layer):
        return aware_class(kind)
    # Its weight is a property of a class of its own, and stays removable.
    members = dict(vars(kind))
    members.pop("__dict__", None)
    members.pop("__weakref__", None)
    stock: Any = kind.__bases__[0]
    aware: Any = aware_class(stock)
    return type(kind.__name__, (aware,), members)


def _list(names: Iterable[str]) -> str:
    """The first of some names of layers; the model itself has none."""
    first, *others = [name or "the model" for name in names]
    shown = ", ".join([first, *others[:2]])
    return f"{shown}, ..." if others[2:] else shown


def _check(modules: Modules, targets: Sequence[Target]) -> None:
    """Refuses wrapped models, and targets that are none."""
    wrapped = find_wrapped(modules)
    if wrapped:
        raise UserError(
            f"A model must be converted before it is wrapped, got {wrapped}."
        )
    wrong = [x for x in targets if not isinstance(x, Target)]
    if wrong or not targets:
        raise UserError(
            "`targets` must be what `select_targets` returned, got "
            f"{repr(wrong[0]) if wrong else 'none'}."
        )


def _units(
    modules: Modules,
) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Splits a model into outermost known layers and what is around them."""
    from leanbrain.masking.nnet.known import is_unit

    units: dict[str, nn.Module] = {}
    outside: dict[str, nn.Module] = {}
    for name, module in walk_modules(modules):
        if not _is_inside(name, units):
            (units if is_unit(module) else outside)[name] = module
    return units, outside


def _is_inside(name: str, units: dict[str, nn.Module]) -> bool:
    """Says whether a name lies in one of the layers."""
    parts = name.split(".") if name else []
    return any(".".join(parts[:end]) in units for end in range(len(parts)))


def _reasons(
    units: Iterable[nn.Module],
    outside: Iterable[nn.Module],
    wanted: dict[int, str],
) -> dict[int, str]:
    """Says of parameters why no layer can cover them: id -> reason."""
    from leanbrain.masking.nnet.known import time_first

    reasons: dict[int, str] = {}
    for layer in units:
        for key, path in weights_made_by_hooks(layer).items():
            reasons[key] = (
                f"{type(layer).__name__} computes `{path}` from it before its "
                "`forward`, in a hook that is not known"
            )
    for module in outside:
        kind = type(module).__name__
        for parameter in module.parameters(recurse=False):
            reasons[id(parameter)] = (
                f"{kind} uses it in a `forward` that is not known"
            )
        for key, path in weights_read_directly(module).items():
            reasons[key] = f"{kind} reads `{path}` past the part's `forward`"
        if time_first(module):
            for parameter in module.parameters():
                reasons[id(parameter)] = (
                    f"{kind} runs its parts with time before the batch"
                )
    return {key: why for key, why in reasons.items() if key in wanted}
