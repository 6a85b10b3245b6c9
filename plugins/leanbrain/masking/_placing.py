"""Finds the layer of each mask, and refuses masks that have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from leanbrain.checks import UserError, nearest
from leanbrain.masking._masked_weights import Place
from leanbrain.masking._walk import (
    Modules,
    find_wrapped,
    walk_modules,
    walk_parameters,
)
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.nnet._aware import is_routed

__all__ = ["find_layers"]

_Layers = dict[str, tuple[Any, tuple[Place, ...]]]


def find_layers(modules: Modules, masks: MaskSet) -> _Layers:
    """Finds the outermost mask-aware layers that have masks.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name.
    masks : MaskSet
        Masks of its parameters.

    Returns
    -------
    dict
        Name -> the layer, and where its masked parameters live.

    Raises
    ------
    UserError
        If a mask is of no parameter of such a layer, or if a layer has a
        router already.
    """
    layers = _masked_layers(modules, _own_masks(modules, masks))
    covered = {place.name for _, places in layers.values() for place in places}
    lost = [name for name in masks.shapes if name not in covered]
    if lost:
        raise UserError(
            "Every mask must be of a mask-aware layer (see `convert`), got "
            f"{lost[0]!r} of another"
            f"{f' and {len(lost) - 1} more' if lost[1:] else ''}."
        )
    for name, (layer, _) in layers.items():
        if layer._lane is not None:
            raise UserError(
                "The model must have one router, got a second for "
                f"{name or 'the model'!r}; "
                "`detach` the first."
            )
    return layers


def _own_masks(modules: Modules, masks: MaskSet) -> dict[int, str]:
    """Finds the mask of each parameter: id of the parameter -> name."""
    found = {
        name: parameter
        for name, _, parameter in walk_parameters(modules)
        if name in masks.shapes
    }
    for name, shape in masks.shapes.items():
        if name not in found:
            raise UserError(
                "The masks must be of parameters of this model, got "
                f"{name!r}, which it has not{_hint(modules, name)}."
            )
        if found[name].shape != shape:
            raise UserError(
                f"The mask of {name!r} must be of the parameter's shape "
                f"{list(found[name].shape)}, got {list(shape)}."
            )
    return {id(parameter): name for name, parameter in found.items()}


def _hint(modules: Modules, name: str) -> str:
    """Why a name may be another than expected."""
    wrapped = find_wrapped(modules)
    if wrapped:
        return f" (make the router before the model is wrapped: {wrapped})"
    close = nearest(name, [x for x, _, _ in walk_parameters(modules)])
    return f" (nearest: {', '.join(close)})" if close else ""


def _masked_layers(modules: Modules, own: Mapping[int, str]) -> _Layers:
    """Finds the outermost mask-aware layers that have masks, by name."""
    layers: _Layers = {}
    covered: set[int] = set()
    for name, module in walk_modules(modules):
        if id(module) in covered or not is_routed(module):
            continue
        inside: list[torch.nn.Module] = list(module.modules())  # type: ignore
        covered.update(map(id, inside))
        places = tuple(
            Place(own[id(parameter)], owner, leaf)
            for owner in inside
            for leaf, parameter in owner._parameters.items()
            if id(parameter) in own
        )
        if places:
            layers[name] = (module, places)
    return layers
