"""One boolean mask per pathway and parameter, stored as bits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch

from leanbrain.checks import UserError, check_known, check_names
from leanbrain.files import load_tensors, save_tensors
from leanbrain.masking._maskstate import (
    FORMAT,
    VERSION,
    check_format,
    read_bits,
)
from leanbrain.masking.packing import pack, unpack

__all__ = ["MaskStorage", "Names"]

# A selection of parameters in an argument: one name, several, or None: all.
Names = str | Iterable[str] | None
Self = TypeVar("Self", bound="MaskStorage")


class MaskStorage:
    """Keeps masks; the base of `MaskSet`, which computes with them.

    Takes one bit per weight and pathway (each parameter rounded up to whole
    bytes). A mask is replaced, never changed in place: whoever holds packed
    bits holds them as they were.

    Arguments
    ---------
    shapes : Mapping[str, Sequence[int]]
        Shape of each parameter, by name.
    pathways : Sequence[str]
        Names of the pathways, in the order used for pictures and tables.
    device : torch.device | str
        Where the bits are kept; `PathwaySwitch` moves them to the weights.

    Raises
    ------
    UserError
        If there is no pathway, no parameter, a name twice or an empty tensor.

    Example
    -------
    >>> masks = MaskStorage({"w": [2, 3]}, ["en", "fr"])
    >>> masks.set("fr", "w", torch.eye(2, 3).bool())
    >>> masks.get("fr", "w").int()
    tensor([[1, 0, 0],
            [0, 1, 0]], dtype=torch.int32)
    """

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        pathways: Sequence[str],
        device: torch.device | str = "cpu",
    ) -> None:
        self.pathways = check_names("pathways", pathways)
        self.shapes = {n: torch.Size(s) for n, s in shapes.items()}
        if not self.shapes:
            raise UserError(
                "`shapes` must name at least one parameter, got none."
            )
        for name, shape in self.shapes.items():
            if not shape.numel():
                raise UserError(
                    f"`shapes` must hold no empty tensor, got {list(shape)} "
                    f"for {name!r}."
                )
        # Counts the changes, so that what is computed from masks can be kept.
        self.version = 0
        full = {
            n: pack(torch.ones(s, dtype=torch.bool, device=device))
            for n, s in self.shapes.items()
        }
        self._bits = {pathway: dict(full) for pathway in self.pathways}

    def get(
        self, pathway: str, name: str, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Returns a mask as a bool tensor of the parameter's shape.

        Arguments
        ---------
        pathway : str
            Name of the pathway.
        name : str
            Name of the parameter.
        out : torch.Tensor | None
            Bool tensor of that shape to write to.

        Returns
        -------
        torch.Tensor
            Bool, True where the weight is kept; changing it changes nothing
            here.
        """
        return unpack(self.packed(pathway, name), self.shapes[name], out)

    def set(self, pathway: str, name: str, mask: torch.Tensor) -> None:
        """Replaces a mask; call `PathwaySwitch.refresh` after the last one.

        Arguments
        ---------
        pathway : str
            Name of the pathway.
        name : str
            Name of the parameter.
        mask : torch.Tensor
            Bool, of the parameter's shape, on any device.

        Raises
        ------
        UserError
            If a name is unknown or the mask has another type or shape.
        """
        held = self.packed(pathway, name)
        if mask.dtype != torch.bool or mask.shape != self.shapes[name]:
            raise UserError(
                f"`mask` of {name!r} must be bool {list(self.shapes[name])}, "
                f"got {mask.dtype} {list(mask.shape)}."
            )
        self._bits[pathway][name] = pack(mask).to(held.device)
        self.version += 1

    def packed(self, pathway: str, name: str) -> torch.Tensor:
        """Returns the bits of a mask, uint8 [ceil(n / 8)]; read only.

        Arguments
        ---------
        pathway : str
            Name of the pathway.
        name : str
            Name of the parameter.

        Returns
        -------
        torch.Tensor
            The same object until the mask is replaced or moved.
        """
        bits = self._bits.get(pathway, {}).get(name)
        if bits is None:
            check_known("pathway", pathway, self.pathways)
            check_known("name", name, self.shapes)
            raise KeyError(name)  # not reached: one of the two was unknown
        return bits

    def to(self: Self, device: torch.device | str, names: Names = None) -> Self:
        """Moves bits to another device.

        Arguments
        ---------
        device : torch.device | str
            Where to.
        names : str | Iterable[str] | None
            Which parameters; None for all.

        Returns
        -------
        MaskSet
            This one, changed.
        """
        chosen = self._names(names)
        for bits in self._bits.values():
            bits.update({name: bits[name].to(device) for name in chosen})
        return self

    def clone(self: Self) -> Self:
        """Returns a copy that later changes of this one do not reach."""
        # Masks are replaced, never changed in place: the bits can be shared.
        other = object.__new__(type(self))
        other.pathways, other.version = self.pathways, self.version
        other.shapes = dict(self.shapes)
        other._bits = {p: dict(bits) for p, bits in self._bits.items()}
        return other

    # -- saving -------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns plain containers and uint8 tensors, on the CPU."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "pathways": list(self.pathways),
            "shapes": {name: list(s) for name, s in self.shapes.items()},
            "bits": {
                pathway: {name: x.cpu().clone() for name, x in bits.items()}
                for pathway, bits in self._bits.items()
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over saved masks; call `PathwaySwitch.load_dormant` after.

        Arguments
        ---------
        state : Mapping[str, Any]
            As `state_dict` returned it.

        Raises
        ------
        UserError
            If it is of another format or version, of other pathways, names or
            shapes, or damaged; nothing has changed then.
        """
        bits = read_bits(state, self.pathways, self.shapes)
        for pathway, held in self._bits.items():
            for name, old in held.items():
                held[name] = bits[pathway][name].to(old.device)
        self.version += 1

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the masks to a file, atomically.

        Arguments
        ---------
        path : path
            Where the file shall be.
        """
        save_tensors(path, self.state_dict())

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Reads masks from a file.

        Arguments
        ---------
        path : path
            A file that `save` wrote.

        Returns
        -------
        MaskSet
            On the CPU, with the pathways and shapes of the file.

        Raises
        ------
        UserError
            If the file is missing, truncated, or of another format or version.
        """
        state = load_tensors(path, kind=FORMAT, version=VERSION)
        check_format(state)
        masks = cls(state["shapes"], state["pathways"])
        masks.load_state_dict(state)
        return masks

    def _names(self, names: Names) -> list[str]:
        """Returns the chosen parameters; None stands for all."""
        if names is None:
            return list(self.shapes)
        chosen = [names] if isinstance(names, str) else list(names)
        return [check_known("name", name, self.shapes) for name in chosen]
