"""Which weights a pathway has ever used, one bit each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError
from leanbrain.masking.packing import count_bits

if TYPE_CHECKING:
    from leanbrain.masking.maskset import MaskSet

__all__ = ["Explored"]


class Explored:
    """Counts exactly which share of the weights a pathway has ever used.

    The dense model that pruning starts from is not counted, as nothing would
    be left to explore: a pathway's count begins with its first own mask.

    Reference
    ---------
    Liu et al., "Do We Actually Need Dense Over-Parameterization?", arXiv
    2102.02887, section 3: in-time over-parameterization rate R_s.
    """

    def __init__(self) -> None:
        self.bits: dict[str, dict[str, torch.Tensor]] = {}
        self._weights = 0

    def update(
        self, before: MaskSet, after: MaskSet, pathways: Iterable[str]
    ) -> None:
        """Adds the masks of an update.

        Arguments
        ---------
        before, after : MaskSet
            All masks before and after the update.
        pathways : Iterable[str]
            Pathways that were given new masks.

        Raises
        ------
        UserError
            If a loaded state is of other parameters.
        """
        self._weights = after.numel()
        for pathway in pathways:
            seen = self.bits.get(pathway)
            if seen is None:
                start = before if before.density(pathway) < 1.0 else after
                seen = self.bits[pathway] = {
                    name: start.packed(pathway, name).clone()
                    for name in start.shapes
                }
            self._check(seen, after, pathway)
            for name in after.shapes:
                packed = after.packed(pathway, name)
                seen[name] = seen[name].to(packed.device)
                seen[name] |= packed

    def shares(self) -> dict[str, float]:
        """Returns pathway -> share of weights ever used, in [0, 1]."""
        return {
            pathway: sum(count_bits(x) for x in bits.values()) / self._weights
            for pathway, bits in self.bits.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns pathway -> parameter -> packed bits, uint8, on the CPU."""
        return {
            pathway: {name: x.cpu().clone() for name, x in bits.items()}
            for pathway, bits in self.bits.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from `state_dict`."""
        self.bits = {
            pathway: {name: x.clone() for name, x in bits.items()}
            for pathway, bits in state.items()
        }

    @staticmethod
    def _check(
        seen: Mapping[str, torch.Tensor], masks: MaskSet, pathway: str
    ) -> None:
        """Compares names and sizes of a loaded state with the masks."""
        for name in masks.shapes:
            wanted = masks.packed(pathway, name).numel()
            got = seen[name].numel() if name in seen else "nothing"
            if got != wanted:
                raise UserError(
                    f"The monitor's state must hold {wanted} bytes for {name},"
                    f" got {got}."
                )
