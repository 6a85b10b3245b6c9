"""Scores: what a weight is worth to a pathway.

A score function takes a weight and its gradient and returns non-negative
float32 values of the same shape; the larger, the better. Writing into `out`
spares the memory traffic of a new tensor. A score object turns a function
into a saliency per pathway: `Magnitude` needs no gradient, `TrackedScore`
averages over the pathway's own micro-batches.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError
from leanbrain.pruning.scores.tracking import TrackedScore

__all__ = [
    "Magnitude",
    "TrackedScore",
    "gradient",
    "magnitude",
    "weight_gradient",
]


@torch.no_grad()
def magnitude(
    weight: Tensor, gradient: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Scores weights by their magnitude.

    Arguments
    ---------
    weight : Tensor
        Weights of any shape.
    gradient : Tensor | None
        It has no effect here.
    out : Tensor | None
        Where to write, float32, in the shape of `weight`.

    Returns
    -------
    Tensor
        abs(weight), float32.

    Example
    -------
    >>> magnitude(torch.tensor([-2.0, 1.0]))
    tensor([2., 1.])
    """
    return _new(weight, out).copy_(weight).abs_()


@torch.no_grad()
def gradient(
    weight: Tensor, gradient: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Scores weights by the magnitude of their gradient.

    Arguments
    ---------
    weight : Tensor
        Weights of any shape; only the shape is used.
    gradient : Tensor
        Dense gradient of the loss, in the shape of `weight`.
    out : Tensor | None
        Where to write, float32, in the shape of `weight`.

    Returns
    -------
    Tensor
        abs(gradient), float32.

    Raises
    ------
    UserError
        If there is no gradient or its shape differs.

    Reference
    ---------
    Evci et al., arXiv 1911.11134, section 3 (4): the growth criterion.

    Example
    -------
    >>> gradient(torch.zeros(2), torch.tensor([-2.0, 1.0]))
    tensor([2., 1.])
    """
    _check_gradient(weight, gradient)
    return _new(weight, out).copy_(gradient).abs_()


@torch.no_grad()
def weight_gradient(
    weight: Tensor, gradient: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Scores weights by how much the loss would change without them.

    Arguments
    ---------
    weight : Tensor
        Weights of any shape.
    gradient : Tensor
        Dense gradient of the loss, in the shape of `weight`.
    out : Tensor | None
        Where to write, float32, in the shape of `weight`.

    Returns
    -------
    Tensor
        abs(weight * gradient), float32: the change of the loss to first
        order. A weight of 0 scores 0, so that this cannot tell which
        removed weight to grow if removed weights are zeroed.

    Raises
    ------
    UserError
        If there is no gradient or its shape differs.

    Reference
    ---------
    Molchanov et al., arXiv 1611.06440, eq. 6 to 8.

    Example
    -------
    >>> weight_gradient(torch.tensor([3.0, 0.0]), torch.tensor([-2.0, 1.0]))
    tensor([6., 0.])
    """
    _check_gradient(weight, gradient)
    # The copy widens half types before the product.
    return _new(weight, out).copy_(gradient).mul_(weight).abs_()


class Magnitude:
    """Saliency by magnitude: the same for every pathway, without a state.

    Example
    -------
    >>> Magnitude().value("en", "w", torch.tensor([-2.0, 1.0]))
    tensor([2., 1.])
    """

    wants_gradient = False

    def observe(
        self, pathway: str, name: str, weight: Tensor, gradient: Tensor
    ) -> bool:
        """Accepts a micro-batch and learns nothing from it.

        Arguments
        ---------
        pathway : str
            It has no effect here.
        name : str
            It has no effect here.
        weight : Tensor
            It has no effect here.
        gradient : Tensor
            It has no effect here.

        Returns
        -------
        bool
            True: nothing was discarded.
        """
        return True

    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the saliency of a tensor.

        Arguments
        ---------
        pathway : str
            It has no effect here.
        name : str
            It has no effect here.
        weight : Tensor
            Weights of any shape.

        Returns
        -------
        Tensor
            abs(weight), float32, a new tensor.
        """
        return magnitude(weight)

    def reset(self, pathway: str | None = None) -> None:
        """Has nothing to forget.

        Arguments
        ---------
        pathway : str | None
            It has no effect here.
        """

    def seen(self, pathway: str) -> int:
        """Returns the number of observations.

        Arguments
        ---------
        pathway : str
            It has no effect here.

        Returns
        -------
        int
            0: none is ever kept.
        """
        return 0

    def reduce(self, pathway: str) -> None:
        """Has nothing to share: all ranks hold the same weights.

        Arguments
        ---------
        pathway : str
            It has no effect here.
        """

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Returns an empty state.

        Returns
        -------
        dict
            Nothing.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads an empty state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        UserError
            If the state is that of another score.
        """
        if state:
            raise UserError(
                "`state` must be empty for Magnitude, got the keys "
                f"{', '.join(sorted(state))}."
            )


def _new(weight: Tensor, out: Tensor | None) -> Tensor:
    """Returns where to write."""
    if out is not None:
        return out
    return torch.empty_like(
        weight, dtype=torch.float32, memory_format=torch.contiguous_format
    )


def _check_gradient(weight: Tensor, gradient: Tensor | None) -> None:
    """Refuses a gradient that is missing or does not fit."""
    if gradient is None or gradient.shape != weight.shape:
        got = None if gradient is None else tuple(gradient.shape)
        raise UserError(
            "`gradient` must be in the shape of the weight, "
            f"{tuple(weight.shape)}; got {got}."
        )
