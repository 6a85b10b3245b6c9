"""PathwayRouter: which pathway each utterance of a batch runs through."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking._lanes import Lane, Route
from leanbrain.masking._masked_weights import MaskedWeights, forget_written
from leanbrain.masking._placing import find_layers
from leanbrain.masking._trial_run import compare_mixed_with_single
from leanbrain.masking._walk import Modules
from leanbrain.masking.maskset import MaskSet

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
        self.masks = _read(masks)
        self._route = Route()
        self._lanes = [
            Lane(
                name or "the model",
                layer,
                MaskedWeights(places, self.masks),
                self._route,
            )
            for name, (layer, places) in find_layers(
                modules, self.masks
            ).items()
        ]
        for lane in self._lanes:
            lane.layer._lane = lane

    @property
    def route(self) -> tuple[str, ...]:
        """The pathways in use: none, one for all rows, or one per utterance."""
        return tuple(self._route.names)

    def set(self, pathways: str | Sequence[str], beams: bool = False) -> None:
        """Sends the next batches through pathways, until changed.

        Arguments
        ---------
        pathways : str | Sequence[str]
            One for all utterances, or one for each utterance of the batch.
        beams : bool
            Whether layers may get several rows for each utterance, one after
            another, as the decoder does in beam search. Off by default: a
            list of the wrong length could go unnoticed.

        Raises
        ------
        UserError
            If a pathway is unknown, the list is empty or no list, or the
            router was detached. A list of another length than the batch is
            refused where the batch runs.
        """
        if not self._lanes:
            raise UserError("A router must not be used after `detach`.")
        for_all = isinstance(pathways, str)
        names = [pathways] if isinstance(pathways, str) else pathways
        # A set has no order, in which rows could be matched.
        if not isinstance(names, Sequence):
            raise UserError(
                f"`pathways` must be a name or a list of names, got {names!r}."
            )
        known = [check_known("pathway", x, self.masks.pathways) for x in names]
        if not known:
            raise UserError("`pathways` must name at least one, got none.")
        self._route.take(known, beams, for_all)
        forget_written(lane.weights for lane in self._lanes)

    def clear(self) -> None:
        """Lets the layers use their weights as they are."""
        self._route.take([], beams=False, for_all=False)

    @contextmanager
    def through(
        self, pathways: str | Sequence[str], beams: bool = False
    ) -> Iterator[PathwayRouter]:
        """Sends batches through pathways inside a `with` block.

        With activation checkpointing, the backward pass belongs inside too.

        Arguments
        ---------
        pathways, beams
            See `set`.
        """
        route = self._route
        before = route.names, route.beams, route.for_all
        self.set(pathways, beams)
        try:
            yield self
        finally:
            route.take(*before)

    def refresh(self) -> None:
        """Forgets masked weights: they are made anew when they are needed.

        Writes that no counter shows (to `.data` in place, by `fused=True`
        optimizers) are seen by `set`; between it and the batch only on the
        CPU, where some values are compared, and elsewhere after this call.
        """
        for lane in self._lanes:
            lane.weights.forget()

    def detach(self) -> None:
        """Takes the router off the model; it is as before then."""
        for lane in self._lanes:
            lane.layer._lane = None
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
            With the names of the layers that did not run, if a mixed batch
            differs from batches of one pathway, or if no rows can be compared.
        """
        compare_mixed_with_single(self, self._lanes, run, pathways, tolerance)


def _read(masks: Any) -> MaskSet:
    """Masks, perhaps from a file."""
    if isinstance(masks, MaskSet):
        return masks
    if isinstance(masks, str | os.PathLike):
        return MaskSet.load(masks)
    raise UserError(
        f"`masks` must be a MaskSet or a file, got {type(masks).__name__}."
    )
