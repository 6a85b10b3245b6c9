"""Values outside a mask: taken out for saving, put back after loading."""

from collections.abc import Mapping

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking.packing import count_bits, unpack

__all__ = ["put_outside", "take_outside"]

Tensors = Mapping[str, torch.Tensor]


def take_outside(theta: Tensors, bits: Tensors) -> dict[str, torch.Tensor]:
    """Collects the values where a mask is 0.

    Arguments
    ---------
    theta : Mapping[str, torch.Tensor]
        Values, of any shapes.
    bits : Mapping[str, torch.Tensor]
        Packed masks of the same names.

    Returns
    -------
    dict
        Name -> 1-D tensor, in the order of the flattened values.

    Example
    -------
    >>> bits = {"w": torch.tensor([5], dtype=torch.uint8)}
    >>> take_outside({"w": torch.tensor([1.0, 2.0, 3.0])}, bits)
    {'w': tensor([2.])}
    """
    return {
        name: torch.masked_select(values, _outside(bits[name], values))
        for name, values in theta.items()
    }


def put_outside(theta: Tensors, bits: Tensors, saved: Tensors) -> None:
    """Writes values back to where a mask is 0, in place.

    Arguments
    ---------
    theta : Mapping[str, torch.Tensor]
        Values to write to; where the mask is 1 they stay.
    bits : Mapping[str, torch.Tensor]
        Packed masks of the same names.
    saved : Mapping[str, torch.Tensor]
        As `take_outside` returned it.

    Raises
    ------
    UserError
        If a name is missing or unknown or a number of values does not fit;
        nothing is written then.
    """
    for name in saved:
        check_known("dormant", name, theta)
    for name, values in theta.items():
        wanted = values.numel() - count_bits(bits[name])
        got = saved[name].shape if name in saved else None
        if got != (wanted,):
            raise UserError(
                f"`dormant` of {name!r} must hold {wanted} values in one "
                f"dimension, got {'none' if got is None else list(got)}."
            )
    for name, values in theta.items():
        outside = _outside(bits[name], values)
        values.masked_scatter_(outside, saved[name].to(values))


def _outside(bits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Returns the bool mask, in the values' shape, of what is left out."""
    return unpack(bits, values.shape).logical_not_()
