"""The saved form of a MaskSet, and the checks of what is loaded."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from leanbrain.checks import UserError, nearest
from leanbrain.masking.packing import packed_size

__all__ = ["FORMAT", "VERSION", "check_format", "read_bits"]

FORMAT = "leanbrain.maskset"
VERSION = 1

Bits = Mapping[str, Mapping[str, torch.Tensor]]


def read_bits(
    state: Mapping[str, Any],
    pathways: Sequence[str],
    shapes: Mapping[str, torch.Size],
) -> Bits:
    """Returns the packed masks of a saved state after checking all of them.

    Arguments
    ---------
    state : Mapping[str, Any]
        What was saved.
    pathways : Sequence[str]
        The pathways it must hold, in any order.
    shapes : Mapping[str, torch.Size]
        The parameters it must hold.

    Returns
    -------
    Mapping[str, Mapping[str, torch.Tensor]]
        Pathway -> parameter -> uint8 [ceil(n / 8)].

    Raises
    ------
    UserError
        If anything is missing, added, damaged or of another shape.
    """
    check_format(state)
    saved: dict[str, list[int]] = state["shapes"]
    if set(state["pathways"]) != set(pathways):
        raise UserError(
            f"The masks must be of the pathways {', '.join(pathways)}; got "
            f"{', '.join(state['pathways'])}."
        )
    _check_names(saved, shapes)
    for name, shape in shapes.items():
        if list(saved[name]) != list(shape):
            raise UserError(
                f"The masks of {name!r} must be of shape {list(shape)}, got "
                f"{list(saved[name])}."
            )
    bits: Bits = state["bits"]
    for pathway in pathways:
        for name, shape in shapes.items():
            packed = bits.get(pathway, {}).get(name)
            if not _is_whole(packed, shape.numel()):
                raise UserError(
                    f"The mask of {name!r} for pathway {pathway!r} must be "
                    f"{shape.numel()} bits in {packed_size(shape.numel())} "
                    "bytes, got a damaged one."
                )
    return bits


def check_format(state: Mapping[str, Any]) -> None:
    """Checks that a saved state is one of masks, of this version, and whole.

    Arguments
    ---------
    state : Mapping[str, Any]
        What was saved.

    Raises
    ------
    UserError
        If it is not.
    """
    kind, version = state.get("format"), state.get("version")
    if kind != FORMAT or version != VERSION:
        raise UserError(
            f"The masks must be of format {FORMAT!r}, version {VERSION}; got "
            f"{kind!r}, version {version!r}."
        )
    for key in ("pathways", "shapes", "bits"):
        if key not in state:
            raise UserError(f"The masks must hold {key!r}, got none.")


def _check_names(saved: Collection[str], wanted: Collection[str]) -> None:
    """Compares the names of parameters, whatever their order."""
    missing = [name for name in wanted if name not in saved]
    if missing:
        close = nearest(missing[0], saved)
        hint = f" (nearest: {', '.join(close)})" if close else ""
        raise UserError(
            f"The masks must hold the parameter {missing[0]!r}, got none of "
            f"that name{hint}."
        )
    unknown = [name for name in saved if name not in wanted]
    if unknown:
        close = nearest(unknown[0], wanted)
        hint = f" (nearest: {', '.join(close)})" if close else ""
        raise UserError(
            "The masks must be of this model's parameters only, got "
            f"{unknown[0]!r} as well{hint}."
        )


def _is_whole(packed: Any, count: int) -> bool:
    """Says whether a value is a mask of a number of weights."""
    if not isinstance(packed, torch.Tensor) or packed.dtype != torch.uint8:
        return False
    if packed.shape != (packed_size(count),):
        return False
    # Bits behind the last weight would be counted as weights.
    unused = 8 * packed_size(count) - count
    return int(packed[-1]) >> (8 - unused) == 0 if unused else True
