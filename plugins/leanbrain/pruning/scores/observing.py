"""What scores that learn from gradients share: checks, space to work in."""

import torch
from torch import Tensor

from leanbrain.checks import UserError

__all__ = ["check_gradient", "fitting", "space_for"]


def check_gradient(gradient: Tensor, weight: Tensor) -> None:
    """Refuses a gradient that is not in the shape of its weight.

    Example
    -------
    >>> check_gradient(torch.ones(2), torch.ones(2))
    """
    if gradient.shape != weight.shape:
        raise UserError(
            "`gradient` must be in the shape of the weight, "
            f"{tuple(weight.shape)}; got {tuple(gradient.shape)}."
        )


def fitting(name: str, values: Tensor, weight: Tensor) -> Tensor:
    """Puts what was gathered for a weight on its device.

    Arguments
    ---------
    name : str
        Name of the parameter, for the message.
    values : Tensor
        What was gathered; a loaded state lies where its file was read to.
    weight : Tensor
        The parameter.

    Returns
    -------
    Tensor
        The values, the same ones where they lie right.

    Raises
    ------
    UserError
        If the shape has changed.

    Example
    -------
    >>> fitting("w", torch.zeros(2), torch.ones(2))
    tensor([0., 0.])
    """
    if values.shape != weight.shape:
        raise UserError(
            f"`weight` of {name!r} must be in the shape of its score, "
            f"{tuple(values.shape)}; got {tuple(weight.shape)}."
        )
    return values.to(weight.device)


def space_for(weight: Tensor, space: Tensor) -> Tensor:
    """Returns space to work in, so that observations cost no new memory.

    Arguments
    ---------
    weight : Tensor
        Gives the size and the device.
    space : Tensor
        The space of before.

    Returns
    -------
    Tensor
        Flat float32, `space` itself if it is large enough.

    Example
    -------
    >>> space_for(torch.ones(2, 2), torch.empty(0)).shape
    torch.Size([4])
    """
    if space.numel() >= weight.numel() and space.device == weight.device:
        return space
    return torch.empty(weight.numel(), device=weight.device)
