"""Rewinding: after each pruning, training starts again from an early model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from leanbrain.checks import UserError, check_fraction
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.switch import PathwaySwitch

__all__ = ["Rewind", "lost_weights"]

Modules = torch.nn.Module | Mapping[str, torch.nn.Module]


class Rewind:
    """Keeps a copy of all parameters and buffers, and puts it back.

    Dormant weights are copied and put back too; optimizers forget all. What
    modules keep in plain attributes is not touched.

    Arguments
    ---------
    at : float
        Share of the first round after which the copy is taken, in [0, 1): 0
        is the model that the run starts from.

    Reference
    ---------
    Frankle and Carbin, arXiv 1803.03635 (from the start); Frankle et al.,
    arXiv 1903.01611 and 1912.05671 (from a little later).

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> rewind = Rewind()
    >>> rewind.connect(layer, steps=10)
    >>> rewind.take(0)
    >>> before = layer.weight.item()
    >>> _ = torch.nn.init.constant_(layer.weight, 9.0)
    >>> rewind.restore(None, [])
    >>> layer.weight.item() == before
    True
    """

    def __init__(self, at: float = 0.0) -> None:
        self.at = check_fraction("at", at, high_open=True)
        self._places: dict[str, tuple[torch.nn.Module, str]] = {}
        self._copy: dict[str, torch.Tensor] = {}

    def connect(self, modules: Modules, steps: int) -> None:
        """Notes where parameters and buffers are, and when to copy them.

        Arguments
        ---------
        modules : torch.nn.Module or mapping of them
            As for ``select_targets``.
        steps : int
            Optimizer steps of the first round, after which it is pruned.

        Raises
        ------
        UserError
            If the copy would be taken after the last of these steps.
        """
        self.step = round(self.at * steps)
        if self.step >= steps:
            raise UserError(
                f"`at` must be before the end of the first round of {steps} "
                f"steps, got {self.at}: step {self.step}."
            )
        self._places = dict(_places(modules))

    @torch.no_grad()
    def take(self, step: int, switch: PathwaySwitch | None = None) -> None:
        """Copies the model if its step has come.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        switch : PathwaySwitch or None
            At rest; None before masks are at work.
        """
        if self._copy or step != self.step:
            return
        if switch is not None:
            switch.expose()
        self._copy = {
            name: tensor.detach().clone() for name, tensor in self._tensors()
        }
        if switch is not None:
            switch.commit(None)

    @torch.no_grad()
    def restore(
        self,
        switch: PathwaySwitch | None,
        optimizers: Iterable[torch.optim.Optimizer],
    ) -> None:
        """Puts the copy back, bit for bit.

        Arguments
        ---------
        switch : PathwaySwitch or None
            At rest, and again afterwards: with the masks as they are.
        optimizers : iterable of Optimizer
            Their state is cleared.

        Raises
        ------
        UserError
            If no copy was taken yet.
        """
        if not self._copy:
            raise UserError(
                "`at` must be before the first pruning, got one that keeps "
                f"the model at step {self.step} only."
            )
        if switch is not None:
            switch.expose()
        for name, tensor in self._tensors():
            tensor.copy_(self._copy[name])
        if switch is not None:
            switch.commit(None)
        for optimizer in optimizers:
            optimizer.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """The copy; its tensors are the live ones."""
        return {"copy": dict(self._copy)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``; `UserError` if that cannot be."""
        copy = state["copy"]
        shapes = {name: tensor.shape for name, tensor in self._tensors()}
        found = {name: tensor.shape for name, tensor in copy.items()}
        if copy and found != shapes:
            differing = min(found.items() ^ shapes.items())[0]
            raise UserError(
                "The copy to rewind to must be of this model, got one that "
                f"differs in {differing!r}."
            )
        self._copy = {
            name: copy[name].to(tensor.device)
            for name, tensor in self._tensors()
            if copy
        }

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors by name, as the modules hold them now."""
        for name, (module, key) in self._places.items():
            yield name, getattr(module, key)


def lost_weights(before: MaskSet, masks: MaskSet) -> bool:
    """Whether a pathway keeps a weight no more that it kept before.

    Example
    -------
    >>> before = MaskSet({"w": [2]}, ["en"])
    >>> masks = before.clone()
    >>> lost_weights(before, masks)
    False
    >>> masks.set("en", "w", torch.tensor([True, False]))
    >>> lost_weights(before, masks), lost_weights(masks, before)
    (True, False)
    """
    return any(
        bool((before.packed(p, n) & ~masks.packed(p, n)).any())
        for p in masks.pathways
        for n in masks.shapes
    )


def _places(
    modules: Modules,
) -> Iterator[tuple[str, tuple[torch.nn.Module, str]]]:
    """Where each parameter and buffer is held, shared ones once."""
    roots = {"": modules} if isinstance(modules, torch.nn.Module) else modules
    seen: set[int] = set()
    for root, module in roots.items():
        for prefix, inner in module.named_modules(prefix=root):
            own = [
                *inner.named_parameters(recurse=False),
                *inner.named_buffers(recurse=False),
            ]
            for key, tensor in own:
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield f"{prefix}.{key}".lstrip("."), (inner, key)
