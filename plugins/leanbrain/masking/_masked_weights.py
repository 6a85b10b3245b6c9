"""The masked weights of one layer, and how they take the place of its own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.weight_norm import WeightNorm

from leanbrain.checks import UserError
from leanbrain.masking._writes import bit_sums, same_sums, sample_of
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, unpack

__all__ = ["MaskedWeights", "Place", "forget_written", "swapped"]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a parameter lives: `owner._parameters[leaf]`.

    Arguments
    ---------
    name : str
        Name of its mask.
    owner : nn.Module
        The module that owns it, the layer itself or a part of it.
    leaf : str
        Its name there.
    """

    name: str
    owner: nn.Module
    leaf: str

    @property
    def parameter(self) -> torch.Tensor:
        """The parameter as it is now.

        Raises
        ------
        UserError
            If it was taken away, as `remove_weight_norm` does.
        """
        value = self.owner._parameters.get(self.leaf)
        if value is None:
            raise UserError(
                "A layer must keep the parameters that masks are of, got none "
                f"of the name {self.name!r} (detach the router first)."
            )
        return value


class MaskedWeights:
    """Multiplies the weights of a layer with the masks of a pathway.

    Without gradients the products are kept until weights or masks change:
    one copy of the layer's weights for every pathway that is in use. Weights
    are seen to change by autograd's version counter, the address of their
    memory and, on the CPU, some of their values (elsewhere looking would hold
    up every layer); `forget_written` sees every change. Where gradients are
    wanted the product is made anew, as each has a graph of its own.

    Arguments
    ---------
    places : tuple
        The masked parameters of the layer.
    masks : MaskSet
        Their masks, by `Place.name`.
    """

    def __init__(self, places: tuple[Place, ...], masks: MaskSet) -> None:
        self.places, self.masks = places, masks
        self._version = -1
        self._keys: dict[str, Hashable] = {}
        self._bits: dict[Hashable, list[torch.Tensor]] = {}
        self._kept: dict[Hashable, _Kept] = {}

    def key(self, pathway: str) -> Hashable:
        """What tells masks apart: pathways with equal masks share it."""
        if self._version != self.masks.version:
            self.forget()
        if pathway not in self._keys:
            self._keys[pathway] = self._key_of(
                [
                    self.masks.packed(pathway, p.name).to(p.parameter.device)
                    for p in self.places
                ]
            )
        return self._keys[pathway]

    def forget(self) -> None:
        """Drops all that was computed from weights and masks."""
        self._version = self.masks.version
        self._keys.clear()
        self._bits.clear()
        self._kept.clear()

    def sums(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Sums of the bits of the weights that kept products are of.

        Returns
        -------
        tuple of list
            As they were when the products were made, and as they are.
        """
        if not self._kept:
            return [], []
        weights = [place.parameter for place in self.places]
        if not all(kept.is_of(weights) for kept in self._kept.values()):
            self._kept.clear()  # perhaps moved to another device as well
        then = [x for kept in self._kept.values() for x in kept.sums]
        now = [bit_sums(weight) for weight in weights] if then else []
        return then, now * len(self._kept)

    def of(self, key: Hashable) -> list[torch.Tensor] | None:
        """The weights of the pathways with this key.

        Arguments
        ---------
        key : Hashable
            As `key` returned it.

        Returns
        -------
        list or None
            One tensor per place; None if no weight is masked.
        """
        bits = self._bits[key]
        if not bits:
            return None
        weights = [place.parameter for place in self.places]
        if torch.is_grad_enabled() and any(w.requires_grad for w in weights):
            return self._masked(weights, bits)
        kept = self._kept.get(key)
        if kept is not None and not kept.is_of(weights):
            self._kept.clear()
            kept = None
        if kept is None:
            # What is made in inference mode could not be used out of it.
            with torch.inference_mode(False), torch.no_grad():
                kept = _Kept(weights, self._masked(weights, bits))
            self._kept[key] = kept
        return kept.masked

    def _key_of(self, packed: list[torch.Tensor]) -> Hashable:
        """Finds masks that are the same, or keeps new ones."""
        for key, bits in self._bits.items():
            # The model may have been moved since.
            moved = [y.to(x.device) for x, y in zip(bits, packed, strict=False)]
            if bits and all(map(torch.equal, bits, moved)):
                return key
        full = sum(map(count_bits, packed)) == sum(
            place.parameter.numel() for place in self.places
        )
        key = "full" if full else len(self._bits)
        self._bits[key] = [] if full else packed
        return key

    def _masked(
        self, weights: list[torch.Tensor], bits: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Zeros what the masks remove; NaN and infinity go as well."""
        return [
            w.masked_fill(~unpack(b.to(w.device), w.shape), 0.0)
            for w, b in zip(weights, bits, strict=True)
        ]


def forget_written(layers: Iterable[MaskedWeights]) -> None:
    """Drops the products of weights that were written to since, of all layers.

    Arguments
    ---------
    layers : iterable of MaskedWeights
        All of a model: a device is waited for only once.
    """
    sums = [(layer, *layer.sums()) for layer in layers]
    then = [x for _, old, _ in sums for x in old]
    now = [x for _, _, new in sums for x in new]
    same = iter(same_sums(then, now) if then else [])
    for layer, old, _ in sums:
        unchanged = [next(same) for _ in old]
        if not all(unchanged):
            layer.forget()


class _Kept:
    """Masked weights, and by what later writes to the weights can be told."""

    def __init__(
        self, weights: list[torch.Tensor], masked: list[torch.Tensor]
    ) -> None:
        self.masked = masked
        # Held: memory that was freed could become that of other values.
        self._memory = [w.detach() for w in weights]
        self._versions = [_version(w) for w in weights]
        self._samples = [sample_of(w) for w in weights]
        self.sums = [bit_sums(w) for w in weights]

    def is_of(self, weights: list[torch.Tensor]) -> bool:
        """Says whether the weights are as they were, as far as is cheap."""
        return self._versions == [_version(w) for w in weights] and all(
            old.data_ptr() == new.data_ptr()
            and old.dtype == new.dtype
            and (not new.is_cpu or torch.equal(values, sample_of(new)))
            for old, new, values in zip(
                self._memory, weights, self._samples, strict=True
            )
        )


def _version(weight: torch.Tensor) -> int:
    """Counts writes; parameters made in inference mode do not tell them."""
    return -1 if weight.is_inference() else weight._version


@contextmanager
def swapped(
    places: tuple[Place, ...], tensors: list[torch.Tensor] | None
) -> Iterator[None]:
    """Puts other tensors in the place of a layer's parameters for a while.

    Arguments
    ---------
    places : tuple
        Which parameters.
    tensors : list or None
        One for each; None leaves them as they are.
    """
    if tensors is None:
        yield
        return
    _refuse_cache(places)
    own = [place.owner._parameters[place.leaf] for place in places]
    normed = {
        id(hook): (hook, place.owner)
        for place in places
        for hook in place.owner._forward_pre_hooks.values()
        if isinstance(hook, WeightNorm)
    }
    before = [getattr(owner, hook.name) for hook, owner in normed.values()]
    try:
        for place, tensor in zip(places, tensors, strict=True):
            _parameters(place)[place.leaf] = tensor
        for hook, owner in normed.values():
            setattr(owner, hook.name, hook.compute_weight(owner))
        yield
    finally:
        for place, parameter in zip(places, own, strict=True):
            _parameters(place)[place.leaf] = parameter
        for (hook, owner), weight in zip(normed.values(), before, strict=True):
            setattr(owner, hook.name, weight)


def _refuse_cache(places: tuple[Place, ...]) -> None:
    """Refuses a cache that would keep the weights of one pathway for all."""
    if not parametrize._cache_enabled:
        return
    for place in places:
        if isinstance(place.owner, parametrize.ParametrizationList):
            raise UserError(
                "Pathways must not run inside `parametrize.cached()`, which "
                f"keeps the weights of the first one, got {place.name!r}."
            )


def _parameters(place: Place) -> dict[str, Any]:
    """The owner's own table, which takes any tensor."""
    table: Mapping[str, Any] = place.owner._parameters
    assert isinstance(table, dict)
    return table
