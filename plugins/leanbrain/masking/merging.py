"""Low-rank updates merged into masked weights: the zeros stay zeros.

SpeechBrain's LoRA adds a product of two small matrices to what a frozen layer
computes. Adding the product to the layer's weight serves the same without the
adapter, but it is dense: a pruned weight would be filled again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError

__all__ = ["low_rank_update", "merge_adapters", "merge_low_rank"]


def low_rank_update(down: Tensor, up: Tensor, scaling: float = 1.0) -> Tensor:
    """The weight that a pair of projections amounts to.

    Arguments
    ---------
    down : Tensor
        [rank, in, ...]; more dimensions are those of a convolution's kernel.
    up : Tensor
        [out, rank], or [out, rank, 1, ...]: a pointwise convolution.
    scaling : float
        Factor of the product, LoRA's alpha / rank.

    Returns
    -------
    Tensor
        [out, in, ...].

    Raises
    ------
    UserError
        If the ranks differ or `up` is not pointwise.

    Reference
    ---------
    Hu et al., arXiv 2106.09685, section 4.1.

    Example
    -------
    >>> low_rank_update(torch.ones(1, 3), torch.tensor([[1.0], [2.0]]), 0.5)
    tensor([[0.5000, 0.5000, 0.5000],
            [1.0000, 1.0000, 1.0000]])
    """
    if up.shape[1] != down.shape[0] or up[0, 0].numel() != 1:
        raise UserError(
            "`up` must be [out, rank] with the rank of `down`, and pointwise, "
            f"got {list(up.shape)} for {list(down.shape)}."
        )
    return scaling * torch.tensordot(up.flatten(1), down, dims=1)


@torch.no_grad()
def merge_low_rank(
    weight: Tensor,
    down: Tensor,
    up: Tensor,
    scaling: float = 1.0,
    mask: Tensor | None = None,
) -> float:
    """Adds a low-rank update to a weight, in place, where it is not masked.

    Arguments
    ---------
    weight : Tensor
        Linear or convolution weight, [out, in, ...].
    down, up, scaling
        See ``low_rank_update``.
    mask : Tensor, optional
        Bool, True where weights are kept. Default: the zeros of the weight
        are what was pruned.

    Returns
    -------
    float
        Share of the update that fell on masked weights and is lost, by
        energy, in [0, 1]: how far outputs may differ from the adapter's.

    Raises
    ------
    UserError
        If the shapes do not fit; nothing has changed then.

    Example
    -------
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> merge_low_rank(weight, torch.ones(1, 2), torch.ones(2, 1))
    0.5
    >>> weight
    tensor([[2., 0.],
            [0., 2.]])
    """
    update = low_rank_update(down, up, scaling)
    if update.shape != weight.shape:
        raise UserError(
            f"`down` and `up` must make a weight of {list(weight.shape)}, got "
            f"{list(update.shape)}."
        )
    kept = _kept("mask", weight, mask)
    weight.add_(torch.where(kept, update, 0.0).to(weight))
    energy = update.double().square()
    total = float(energy.sum())
    return float(energy[~kept].sum()) / total if total > 0 else 0.0


def merge_adapters(
    model: nn.Module, masks: Mapping[str, Tensor] | None = None
) -> dict[str, float]:
    """Merges every LoRA adapter of a model and takes the adapters out.

    The layers become the ordinary ones that they were, with their names.
    Adapters with something in between, as Houlsby's, cannot be merged and
    stay. What `AdaptedModel` has frozen stays frozen.

    Arguments
    ---------
    model : nn.Module
        With ``speechbrain.nnet.adapters.LoRA`` in it, or an `AdaptedModel`.
    masks : Mapping[str, Tensor], optional
        Name of an adapted layer's weight, as in the model before it was
        adapted -> bool, True where weights are kept. Default, also for layers
        that are not named: the zeros of the weight are what was pruned.

    Returns
    -------
    dict
        Name of each merged layer -> share of its update that is lost.

    Raises
    ------
    UserError
        If the model has no such adapter, if a mask is not that of an adapted
        weight, or if such a weight is tied (each of its layers would get the
        update of the others) or computed, as under weight norm. Nothing has
        changed then.

    Example
    -------
    >>> from speechbrain.nnet.adapters import AdaptedModel, LoRA
    >>> stock = nn.Sequential(nn.Linear(4, 4))
    >>> adapted = AdaptedModel(stock, LoRA, all_linear=True)
    >>> merge_adapters(adapted)
    {'0': 0.0}
    >>> stock
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
    )
    """
    from speechbrain.nnet.adapters import AdaptedModel, LoRA, replace_module

    root = model.adapted_model if isinstance(model, AdaptedModel) else model
    found = {n: m for n, m in root.named_modules() if isinstance(m, LoRA)}
    if "" in found or not found:
        raise UserError(
            "`model` must hold LoRA adapters below its top, got "
            f"{type(root).__name__}."
        )
    layers = {name: a.pretrained_module for name, a in found.items()}
    _check_weights(root, layers)
    kept = _kept_of(layers, masks or {})
    lost = {}
    for name, adapter in found.items():
        lost[name] = merge_low_rank(
            layers[name].weight,
            adapter.adapter_down_proj.weight,
            adapter.adapter_up_proj.weight,
            adapter.scaling,
            kept[name],
        )
        replace_module(root, name, layers[name])
    return lost


def _kept(setting: str, weight: Tensor, mask: Tensor | None) -> Tensor:
    """Where a weight may change: a checked mask, or what is not zero."""
    if mask is None:
        return weight != 0
    if mask.dtype != torch.bool or mask.shape != weight.shape:
        raise UserError(
            f"`{setting}` must be bool {list(weight.shape)}, got {mask.dtype} "
            f"{list(mask.shape)}."
        )
    return mask.to(weight.device)


def _kept_of(
    layers: Mapping[str, Any], masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The same for every layer."""
    unknown = sorted(set(masks) - {f"{name}.weight" for name in layers})
    if unknown:
        raise UserError(
            "`masks` must name weights of adapted layers, got "
            f"{', '.join(unknown)}."
        )
    return {
        name: _kept(f"masks[{key!r}]", layer.weight, masks.get(key))
        for name, layer in layers.items()
        for key in [f"{name}.weight"]
    }


def _check_weights(root: nn.Module, layers: Mapping[str, Any]) -> None:
    """Refuses weights that are computed, or that another layer uses too."""
    owners: dict[int, set[int]] = {}
    for module in root.modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), set()).add(id(module))
    for name, layer in layers.items():
        if "weight" not in layer._parameters:
            raise UserError(
                "A merged weight must be a parameter, got "
                f"'{name}.weight', which is computed from others."
            )
        if len(owners[id(layer.weight)]) > 1:
            raise UserError(
                "A merged weight must belong to one layer, got "
                f"'{name}.weight', which is tied."
            )
