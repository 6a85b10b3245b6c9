"""One parameter, the dense copy of its values, and what it shows of them."""

from __future__ import annotations

import torch

from leanbrain.checks import UserError
from leanbrain.masking._writes import bit_sums
from leanbrain.masking.blend import Blender, as_row

__all__ = ["Blenders", "Slot"]


class Blenders(dict[torch.device, Blender]):
    """One `Blender` per device, made when it is first needed."""

    def __missing__(self, device: torch.device) -> Blender:
        self[device] = Blender(device)
        return self[device]


class Slot:
    """Moves values between a parameter and the dense copy beside it.

    The parameter is the truth for the entries that it shows (all, or those of
    a packed mask), the dense copy for the rest.

    Arguments
    ---------
    parameter : torch.nn.Parameter
        Written in place only; it stays the same object and memory.
    blenders : Blenders
        Shared by all slots, for the sake of its scratch memory.
    """

    def __init__(
        self, parameter: torch.nn.Parameter, blenders: Blenders
    ) -> None:
        self.parameter = parameter
        self.dense = parameter.detach().clone()
        # Packed bits of the entries that the parameter shows; None: all.
        self.shown: torch.Tensor | None = None
        # Whether the parameter may hold something else where it shows nothing.
        self._stained = False
        self._blenders = blenders
        self._noted = parameter.detach()
        self._version = parameter._version
        # Sums of the parameter's bits; None where they are not known.
        self._sums: torch.Tensor | None = None
        self._rows: tuple[torch.Tensor, torch.Tensor] | None = None

    def follow(self) -> bool:
        """Moves the dense copy to where the parameter was moved meanwhile.

        Returns
        -------
        bool
            Whether device or type of the parameter had changed.
        """
        parameter, dense = self.parameter, self.dense
        same_place = parameter.device == dense.device
        if same_place and parameter.dtype == dense.dtype:
            return False
        self.dense = dense.to(parameter)
        if self.shown is not None:
            self.shown = self.shown.to(parameter.device)
        self._rows = None
        return True

    def settle(self, counters_only: bool = False) -> None:
        """Copies shown entries to the dense copy if they have changed.

        Seen are in-place operations (they raise the version counter),
        `parameter.data = ...` (another memory) and writes through `.data`
        (other sums of the bits), unless `counters_only`.
        """
        sums = self.sums()
        if sums is not None and (
            counters_only or torch.equal(sums, bit_sums(self.parameter))
        ):
            return
        self.take(self.shown)
        self.note_sums()

    def sums(self) -> torch.Tensor | None:
        """Sums of the bits as they were noted; None if others write now.

        That is, if the parameter is known to have changed since.
        """
        return None if self._is_changed() else self._sums

    def note_sums(self) -> None:
        """Notes by what writes that no counter shows can be told."""
        if self._sums is None:
            self._sums = bit_sums(self.parameter)

    def take(self, bits: torch.Tensor | None) -> None:
        """Copies entries of the parameter to the dense copy.

        Arguments
        ---------
        bits : torch.Tensor | None
            Packed mask of the entries; None for all.
        """
        if bits is None:
            self.dense.copy_(self.parameter.detach())
        else:
            parameter, dense = self._pair()
            self._blenders[parameter.device].merge(dense, parameter, bits)
        self._stained = True
        self._note()

    def show(self, bits: torch.Tensor | None, narrowing: bool = False) -> None:
        """Writes the dense copy to the parameter, zero outside a mask.

        Arguments
        ---------
        bits : torch.Tensor | None
            Packed mask; None for all entries.
        narrowing : bool
            Whether all entries of the mask are shown already: then the
            parameter is masked where it is, which spares reading the copy.
        """
        if bits is self.shown and not (self._stained or self._is_changed()):
            return
        if bits is None:
            self.parameter.detach().copy_(self.dense)
        else:
            parameter, dense = self._pair()
            source = parameter if narrowing else dense
            self._blenders[parameter.device].keep(parameter, source, bits)
        self.shown = bits
        self._stained = False
        self._note()

    def fill(self, where: torch.Tensor, value: float) -> None:
        """Sets entries, in the dense copy and, where shown, the parameter.

        Arguments
        ---------
        where : torch.Tensor
            Bool, of the parameter's shape.
        value : float
            The value to set.

        Raises
        ------
        UserError
            If `where` does not fit; nothing has changed then.
        """
        shape = self.parameter.shape
        if where.dtype != torch.bool or where.shape != shape:
            raise UserError(
                f"`where` must be bool {list(shape)}, got {where.dtype} "
                f"{list(where.shape)}."
            )
        self.settle()
        self.dense.masked_fill_(where.to(self.dense.device), value)
        self._stained = True
        self.show(self.shown)
        self.note_sums()

    def _is_changed(self) -> bool:
        """Says whether the parameter was written to since the last note."""
        return (
            self.parameter._version != self._version
            or self.parameter.data_ptr() != self._noted.data_ptr()
        )

    def _note(self) -> None:
        """Notes by what later writes to the parameter can be told."""
        self._hold()
        self._version = self.parameter._version
        self._sums = None

    def _hold(self) -> None:
        """Holds the parameter's memory: freed, it could become a new one's."""
        if self.parameter.data_ptr() != self._noted.data_ptr():
            self._noted = self.parameter.detach()
            self._rows = None

    def _pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns parameter and dense copy as the blender reads them best."""
        self._hold()
        if self._rows is None:
            parameter, dense = as_row(self.parameter), as_row(self.dense)
            if parameter is None or dense is None:
                return self.parameter.detach(), self.dense
            self._rows = parameter, dense
        return self._rows
