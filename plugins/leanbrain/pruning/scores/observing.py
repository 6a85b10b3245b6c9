"""What scores that learn from gradients share: checks, space to work in."""

from collections.abc import Iterator

import torch
from torch import Tensor

from leanbrain.checks import UserError

__all__ = ["check_gradient", "fitting", "in_blocks", "space_for"]


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


def in_blocks(space: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Goes through tensors of one shape a block at a time.

    Blocks that stay in the cache of a CPU are several times as fast there as
    whole tensors, which every pass reads from memory again.

    Arguments
    ---------
    space : Tensor
        Rows to work in, as long as a block.
    tensors : Tensor
        Those to write to must be contiguous.

    Returns
    -------
    iterator of tuple
        The rows of `space`, then a block of each tensor, all flat and of the
        same size.

    Example
    -------
    >>> space, ones = torch.empty(2, 4), torch.ones(2, 3)
    >>> [[x.numel() for x in block] for block in in_blocks(space, ones)]
    [[4, 4, 4], [2, 2, 2]]
    """
    size = max(1, space.shape[1])
    flat = [tensor.detach().reshape(-1) for tensor in tensors]
    for parts in zip(*(x.split(size) for x in flat), strict=True):
        yield *space[:, : parts[0].numel()], *parts
