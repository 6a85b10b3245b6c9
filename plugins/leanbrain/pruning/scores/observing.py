"""What scores that learn from gradients share: checks, space to work in."""

from collections.abc import Iterator

import torch
from torch import Tensor

from leanbrain.checks import UserError

__all__ = ["check_gradient", "fitting", "in_blocks", "rows_of", "space_for"]


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


def rows_of(tensor: Tensor) -> Tensor:
    """A tensor as a table [R, C]: its first dimension by all others.

    Arguments
    ---------
    tensor : Tensor
        Of any shape; a vector is a column.

    Returns
    -------
    Tensor
        A view if the tensor is contiguous.

    Example
    -------
    >>> rows_of(torch.ones(2, 3, 4)).shape, rows_of(torch.ones(5)).shape
    (torch.Size([2, 12]), torch.Size([5, 1]))
    """
    width = tensor[:1].numel() if tensor.dim() > 1 else 1
    return tensor.reshape(-1, max(1, width))


def in_blocks(space: Tensor, *tables: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Goes through tables of as many rows some rows at a time.

    Blocks that stay in the cache of a CPU are several times as fast there as
    whole tensors, which every pass reads from memory again.

    Arguments
    ---------
    space : Tensor
        Lines to work in [lines, size], each at least as long as a row.
    tables : Tensor
        [R, ...]; the first of them [R, C] says how large blocks are.

    Returns
    -------
    iterator of tuple
        A block [r, C] of every line, then r rows of each table.

    Example
    -------
    >>> space, ones = torch.empty(2, 7), torch.ones(3, 3)
    >>> [[len(x) for x in block] for block in in_blocks(space, ones)]
    [[2, 2, 2], [1, 1, 1]]
    """
    width = tables[0].shape[1]
    height = max(1, space.shape[1] // width)
    for parts in zip(*(x.split(height) for x in tables), strict=True):
        rows = len(parts[0])
        yield *space[:, : rows * width].view(-1, rows, width), *parts
