"""A dictionary of which the last atoms are parameters of a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError, check_int
from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.solvers.base import EPS

__all__ = ["TunedDictionary"]


class TunedDictionary(nn.Module):
    """Atoms of a dictionary, some of which gradients reach.

    A tuned atom is the softmax of its logarithm in the dictionary plus a
    parameter, `log_shift`, which is zero at first: no optimizer step can make
    it negative or change its sum, weight decay pulls it back to what was
    learnt, and a dictionary that is trained or loaded later is followed. A
    state without `log_shift`, of a front end that was not tuned, loads.

    Arguments
    ---------
    dictionary : NMFDictionary
        Gives the other atoms, and the start.
    tuned_atoms : int
        How many of the last atoms are parameters; -1: all.

    Example
    -------
    >>> tuned = TunedDictionary(NMFDictionary(5, n_atoms=4), tuned_atoms=2)
    >>> tuned.log_shift.shape, tuned.atoms.shape
    (torch.Size([5, 2]), torch.Size([5, 4]))
    >>> torch.allclose(tuned.atoms, tuned.dictionary.atoms)
    True
    """

    def __init__(self, dictionary: NMFDictionary, tuned_atoms: int = 0) -> None:
        super().__init__()
        self.dictionary = dictionary
        n_atoms = dictionary.atoms.shape[1]
        tuned = check_int("tuned_atoms", tuned_atoms, low=-1)
        if tuned > n_atoms:
            raise UserError(
                f"`tuned_atoms` must be at most {n_atoms}, the number of "
                f"atoms, got {tuned}."
            )
        self.tuned_atoms = n_atoms if tuned == -1 else tuned
        self.log_shift: nn.Parameter | None = None
        if self.tuned_atoms:
            self.log_shift = nn.Parameter(self._zeros())

    def _zeros(self) -> Tensor:
        atoms = self.dictionary.atoms
        return torch.zeros_like(atoms[:, : self.tuned_atoms])

    @property
    def atoms(self) -> Tensor:
        """The dictionary in use, [F, K]; gradients reach the tuned atoms."""
        atoms = self.dictionary.atoms
        if self.log_shift is None:
            return atoms
        fixed, start = atoms.tensor_split(
            [atoms.shape[1] - self.tuned_atoms], 1
        )
        tuned = (start.clamp_min(EPS).log() + self.log_shift).softmax(0)
        # A bin that no atom reaches could not be explained.
        return torch.cat([fixed, tuned.clamp_min(EPS)], 1)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if self.log_shift is not None:
            state_dict.setdefault(f"{prefix}log_shift", self._zeros())
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
