"""Gradient hooks: what a micro-batch may contribute to which weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from leanbrain.masking.blend import Blender
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target

__all__ = ["GradientGate"]


class GradientGate:
    """Shows each dense gradient to an observer, then masks it.

    The hooks run once per parameter and backward pass, before the gradient is
    accumulated and before ranks are averaged: clipping and averaging see
    active entries only, and micro-batches of different pathways add up.

    Arguments
    ---------
    targets : sequence of Target
        The managed parameters.
    masks : MaskSet
        The pathways' masks; read at every backward pass.
    pathway : callable
        Returns the pathway of the batch at work, None for no masking.
    observe : callable
        Called with (pathway, name, gradient) before masking; must not change
        or keep the gradient.
    blenders : mapping
        Device -> what masks tensors there; the switch's own.
    keep_dense : callable
        Returns whether to leave gradients as they are: masked weights learn.
    freeze : bool
        True makes them zero: no weight learns, whatever the observer does.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        masks: MaskSet,
        pathway: Callable[[], str | None],
        observe: Callable[[str, str, torch.Tensor], None],
        blenders: Mapping[torch.device, Blender],
        keep_dense: Callable[[], bool] = lambda: False,
        freeze: bool = False,
    ) -> None:
        self.masks = masks
        self.pathway = pathway
        self.observe = observe
        self.keep_dense = keep_dense
        self.freeze = freeze
        self.blenders = blenders
        self._handles = [
            t.parameter.register_hook(self._hook(t.name)) for t in targets
        ]

    def _hook(self, name: str) -> Callable[[torch.Tensor], torch.Tensor | None]:
        def gate(gradient: torch.Tensor) -> torch.Tensor | None:
            """Shows a gradient to the observer; masks it."""
            pathway = self.pathway()
            if pathway is None:
                return None
            self.observe(pathway, name, gradient)
            if self.freeze:
                return torch.zeros_like(gradient)
            if self.keep_dense():
                return None
            # Not in place: autograd may hand one tensor to several leaves.
            masked = torch.empty_like(gradient)
            self.blenders[gradient.device].keep(
                masked, gradient, self.masks.packed(pathway, name)
            )
            return masked

        return gate

    def remove(self) -> None:
        """Takes the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
