"""The parameters of a switch and the masks that say what they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking._slot import Blenders, Slot
from leanbrain.masking._writes import bit_sums, same_sums
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target

__all__ = ["SlotSet"]

# Packed masks by parameter, or None for all entries of all parameters.
Bits = Mapping[str, torch.Tensor] | None
# Some parameters, or None for all.
Names = Sequence[str] | None


class SlotSet:
    """Applies the operations of `Slot` to all parameters.

    Arguments
    ---------
    targets : Sequence[Target]
        The parameters.
    masks : MaskSet
        Their masks, moved to where the parameters are.

    Raises
    ------
    UserError
        If names or shapes differ.
    """

    def __init__(self, targets: Sequence[Target], masks: MaskSet) -> None:
        _check_fit(targets, masks)
        self.masks = masks
        self.blenders = Blenders()
        self._slots = {
            t.name: Slot(t.parameter, self.blenders) for t in targets
        }
        for name, slot in self._slots.items():
            masks.to(slot.parameter.device, name)
        self._union: dict[str, torch.Tensor] = {}
        self._union_version: int | None = None

    def __getitem__(self, name: str) -> Slot:
        """Returns the slot of one parameter."""
        check_known("name", name, self._slots)
        self.follow(name)
        return self._slots[name]

    def theta(self) -> dict[str, torch.Tensor]:
        """Returns the dense copies by name."""
        return {name: slot.dense for name, slot in self._slots.items()}

    def union(self) -> dict[str, torch.Tensor]:
        """Returns the union of all masks, computed once per change."""
        if self._union_version != self.masks.version:
            self._union = self.masks.union()
            self._union_version = self.masks.version
        return self._union

    def pathway(self, pathway: str) -> dict[str, torch.Tensor]:
        """Returns the masks of a pathway, by parameter."""
        return {n: self.masks.packed(pathway, n) for n in self._slots}

    def follow(self, name: str | None = None) -> None:
        """Moves what belongs to parameters that were moved meanwhile."""
        for key in self._slots if name is None else (name,):
            slot = self._slots[key]
            if slot.follow():
                self.masks.to(slot.parameter.device, key)
                self._union_version = None

    def settle(self, names: Names = None) -> None:
        """Copies shown entries of changed parameters to the dense copies."""
        known: list[tuple[Slot, torch.Tensor]] = []
        for name in self._named(names):
            slot = self._slots[name]
            sums = slot.sums()
            if sums is None:
                slot.take(slot.shown)
            else:
                known.append((slot, sums))
        if not known:
            return
        now = [bit_sums(slot.parameter) for slot, _ in known]
        same = same_sums([sums for _, sums in known], now)
        for (slot, _), as_before in zip(known, same, strict=True):
            if not as_before:
                slot.take(slot.shown)

    def take(self, bits: Bits, names: Names = None) -> None:
        """Copies entries of parameters to the dense copies."""
        for name in self._named(names):
            self._slots[name].take(None if bits is None else bits[name])

    def take_shown(self) -> None:
        """Copies shown entries to the dense copies, changed or not."""
        for slot in self._slots.values():
            slot.take(slot.shown)

    def settle_and_show(self, bits: Bits, names: Names = None) -> None:
        """Does both, parameters one by one where they then stay in a cache."""
        for group in self._groups(names):
            self.settle(group)
            self.show(bits, group)

    def take_and_show(
        self, taken: Bits, bits: Bits, names: Names = None
    ) -> None:
        """Does both, parameters one by one where they then stay in a cache."""
        for group in self._groups(names):
            self.take(taken, group)
            self.show(bits, group)

    def show(self, bits: Bits, names: Names = None) -> None:
        """Writes dense copies to the parameters, zero outside of masks.

        Arguments
        ---------
        bits : Mapping[str, torch.Tensor] | None
            The union or masks of a pathway, as they are now; None for all.
        names : Sequence[str] | None
            Which parameters; None for all.
        """
        fresh = self._union_version == self.masks.version
        for name in self._named(names):
            slot = self._slots[name]
            # What shows the union shows all entries of every pathway.
            narrowing = fresh and slot.shown is self._union[name]
            slot.show(None if bits is None else bits[name], narrowing)
            if bits is not None:  # else an optimizer is about to write
                slot.note_sums()
        # Inside an autocast the next layer would be given the old weights.
        torch.clear_autocast_cache()

    def _groups(self, names: Names) -> Iterable[Sequence[str]]:
        """Returns names of which those that need no wait go together."""
        named = list(self._named(names))
        devices = {self._slots[name].parameter.device.type for name in named}
        # Comparing sums waits for a device: once there, for all of them.
        return [[name] for name in named] if devices == {"cpu"} else [named]

    def _named(self, names: Names) -> Iterable[str]:
        """Returns the names of some slots, by default of all."""
        return self._slots if names is None else names


def _check_fit(targets: Sequence[Target], masks: MaskSet) -> None:
    """Compares names and shapes of targets and masks."""
    shapes = {t.name: t.parameter.shape for t in targets}
    differing = [
        name
        for name in dict.fromkeys((*shapes, *masks.shapes))
        if shapes.get(name) != masks.shapes.get(name)
    ]
    if differing:
        raise UserError(
            "`masks` must hold the names and shapes of `targets`, got a "
            f"difference at {', '.join(differing)}."
        )
