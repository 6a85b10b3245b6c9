"""Blocks of a dictionary that a user asks for by name, and their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_known
from leanbrain.nmf.inputs import check_atoms

__all__ = ["check_blocks", "check_dictionary"]


def check_blocks(
    setting: str, chosen: Sequence[str] | None, blocks: Mapping[str, slice]
) -> list[str] | None:
    """Checks names of blocks.

    Arguments
    ---------
    setting : str
        Name of the setting, for the error.
    chosen : Sequence of str | None
        At least one name; None means all.
    blocks : Mapping
        The blocks that there are.

    Returns
    -------
    list of str | None
        As given.

    Raises
    ------
    UserError
        If there is no such block, or none is chosen.
    """
    if chosen is None:
        return None
    if isinstance(chosen, str) or not chosen:
        raise UserError(
            f"`{setting}` must be a list of at least one block of the "
            f"dictionary (or null for all), got {chosen!r}."
        )
    return [check_known(setting, name, blocks) for name in chosen]


def check_dictionary(
    atoms: Tensor, blocks: Mapping[str, slice], bins: int
) -> None:
    """Checks that atoms can explain spectra, and that blocks divide them.

    Arguments
    ---------
    atoms : Tensor
        [F, K].
    blocks : Mapping
        Name -> slice of the K columns.
    bins : int
        F of the spectra.

    Raises
    ------
    UserError
        If shape or values are wrong, or an atom is not in exactly one block.
    """
    if atoms.dim() != 2 or atoms.shape[0] != bins:
        raise UserError(
            f"`dictionary` must have n_fft // 2 + 1 = {bins} bins (rows), "
            f"got {tuple(atoms.shape)}."
        )
    check_atoms("dictionary", atoms, bins)
    columns = torch.arange(atoms.shape[1])
    covered = torch.cat([columns[s] for s in blocks.values()])
    if not torch.equal(covered.sort().values, columns):
        raise UserError(
            "`dictionary` must have every atom in exactly one block, got "
            f"{dict(blocks)} for {len(columns)} atoms."
        )
