"""PathwayRouter: which pathway each utterance of a batch runs through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from leanbrain.checks import UserError, check_known, nearest
from leanbrain.masking._masked_weights import MaskedWeights, Place
from leanbrain.masking._walk import Modules, walk_modules, walk_parameters
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.nnet._aware import Lane, MaskAware

__all__ = ["PathwayRouter"]


class PathwayRouter:
    """Runs the utterances of one batch through pathways of their own.

    Every mask-aware layer groups the rows of its input by pathway and runs
    each group with the weights of its pathway; the rest of the model sees the
    whole batch. The parameters are only read: they must hold what the
    pathways need, as those of a pruned model at rest do. Masked weights are
    kept until weights or masks change, one copy per pathway in use.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`, made of
        mask-aware layers (`leanbrain.masking.nnet`) or converted (`convert`).
    masks : MaskSet | path
        The masks, or the file that a pruned run left (masks.pt).

    Raises
    ------
    UserError
        If a mask is of a parameter that the model has not, that has another
        shape, or that belongs to no mask-aware layer; or if the model has a
        router already.

    Example
    -------
    >>> from leanbrain.masking.nnet.linear import Linear
    >>> layer = Linear(n_neurons=2, input_size=2, bias=False)
    >>> torch.nn.init.ones_(layer.w.weight).shape
    torch.Size([2, 2])
    >>> masks = MaskSet({"w.weight": [2, 2]}, ["en", "ru"])
    >>> masks.set("ru", "w.weight", torch.eye(2).bool())
    >>> router = PathwayRouter(layer, masks)
    >>> with torch.no_grad(), router.through(["ru", "en", "ru"]):
    ...     layer(torch.tensor([[[1.0, 2.0]]]).expand(3, 1, 2)).squeeze(1)
    tensor([[1., 2.],
            [3., 3.],
            [1., 2.]])
    """

    def __init__(
        self,
        modules: Modules,
        masks: MaskSet | str | os.PathLike[str],
    ) -> None:
        if not isinstance(masks, MaskSet):
            masks = MaskSet.load(masks)
        self.masks = masks
        self._route: list[str] = []
        layers = _masked_layers(modules, _own_masks(modules, masks))
        _check_covered(masks, layers)
        self._layers = [layer for layer, _ in layers.values()]
        self._lanes = [
            Lane(name, MaskedWeights(places, masks), self._route)
            for name, (_, places) in layers.items()
        ]
        for layer, lane in zip(self._layers, self._lanes, strict=True):
            layer._lane = lane

    @property
    def route(self) -> tuple[str, ...]:
        """The pathways in use: none, one for all rows, or one per row."""
        return tuple(self._route)

    def set(self, pathways: str | Sequence[str]) -> None:
        """Sends the next batches through pathways, until changed.

        Arguments
        ---------
        pathways : str | Sequence[str]
            One for all utterances, or one for each row of the batch.

        Raises
        ------
        UserError
            If one is unknown, or the list is empty.
        """
        names = [pathways] if isinstance(pathways, str) else list(pathways)
        if not names:
            raise UserError("`pathways` must name at least one, got none.")
        for name in names:
            check_known("pathway", name, self.masks.pathways)
        self._route[:] = names

    def clear(self) -> None:
        """Lets the layers use their weights as they are."""
        self._route.clear()

    @contextmanager
    def through(self, pathways: str | Sequence[str]) -> Iterator[PathwayRouter]:
        """Sends batches through pathways inside a `with` block.

        Arguments
        ---------
        pathways : str | Sequence[str]
            See `set`.
        """
        before = list(self._route)
        self.set(pathways)
        try:
            yield self
        finally:
            self._route[:] = before

    def refresh(self) -> None:
        """Forgets masked weights; needed after writes that do not count.

        These are writes to `.data` in place and those of `fused=True`
        optimizers.
        """
        for lane in self._lanes:
            lane.weights.forget()

    def detach(self) -> None:
        """Takes the router off the model; it is as before then."""
        for layer in self._layers:
            layer._lane = None
        self._lanes.clear()

    def check(
        self,
        run: Callable[[], torch.Tensor],
        pathways: Sequence[str],
        tolerance: float = 1e-4,
    ) -> None:
        """Runs a batch and makes sure that masks reach every layer.

        A layer whose weights are read by others, past its own `forward`, and
        one whose input does not come batch first, would go unnoticed: the
        first has no calls, the second gives a row other results in company
        than alone.

        Arguments
        ---------
        run : Callable
            Runs the model (in eval mode) on one batch; returns a tensor with
            the batch's rows in dimension 0.
        pathways : Sequence[str]
            One per row, at least two different ones.
        tolerance : float
            Largest difference, relative to the largest output.

        Raises
        ------
        UserError
            With the names of the layers that did not run, or if a mixed batch
            differs from batches of one pathway.
        """
        calls = [lane.calls for lane in self._lanes]
        with torch.no_grad():
            with self.through(pathways):
                mixed = run()
            idle = [
                lane.name
                for lane, before in zip(self._lanes, calls, strict=True)
                if lane.calls == before
            ]
            if idle:
                raise UserError(
                    "Every masked layer must run through its own `forward`, "
                    f"got none of {', '.join(idle[:5])}"
                    f"{' and others' if len(idle) > 5 else ''}."
                )
            with self.through(pathways):  # some layers add noise
                noise = float((run() - mixed).abs().max())
            for name in dict.fromkeys(pathways):
                with self.through(name):
                    alone = run()
                rows = [i for i, x in enumerate(pathways) if x == name]
                worst = float((mixed[rows] - alone[rows]).abs().max())
                scale = float(alone[rows].abs().max())
                if worst > tolerance * scale + 10 * noise:
                    raise UserError(
                        "A mixed batch must give what batches of one pathway "
                        f"give, got a difference of {worst:.2g} in rows of "
                        f"{name!r}: is a layer's input not batch first?"
                    )


def _own_masks(modules: Modules, masks: MaskSet) -> dict[int, str]:
    """Finds the mask of each parameter: id of the parameter -> name."""
    found = {
        name: parameter
        for name, _, parameter in walk_parameters(modules)
        if name in masks.shapes
    }
    for name, shape in masks.shapes.items():
        if name not in found:
            close = nearest(name, [x for x, _, _ in walk_parameters(modules)])
            hint = f" (nearest: {', '.join(close)})" if close else ""
            raise UserError(
                "The masks must be of parameters of this model, got "
                f"{name!r}, which it has not{hint}."
            )
        if found[name].shape != shape:
            raise UserError(
                f"The mask of {name!r} must be of the parameter's shape "
                f"{list(found[name].shape)}, got {list(shape)}."
            )
    return {id(parameter): name for name, parameter in found.items()}


def _masked_layers(
    modules: Modules, own: Mapping[int, str]
) -> dict[str, tuple[Any, tuple[Place, ...]]]:
    """Finds the outermost mask-aware layers that have masks, by name."""
    layers: dict[str, tuple[Any, tuple[Place, ...]]] = {}
    covered: set[int] = set()
    for name, module in walk_modules(modules):
        if not isinstance(module, MaskAware) or id(module) in covered:
            continue
        inside = list(module.modules())
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


def _check_covered(
    masks: MaskSet, layers: Mapping[str, tuple[Any, tuple[Place, ...]]]
) -> None:
    """Refuses masks that would have no effect, and a second router."""
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
                f"The model must have one router, got a second for {name!r}; "
                "`detach` the first."
            )
