"""A dictionary of which the last atoms are parameters of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError, check_int
from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.solvers.base import EPS

__all__ = ["TunedDictionary"]


class TunedDictionary(nn.Module):
    """Atoms of a dictionary, some of which gradients reach.

    A tuned atom is a softmax of its parameters: no optimizer step can make it
    negative or change its sum.

    Arguments
    ---------
    dictionary : NMFDictionary
        Gives the other atoms, and the start.
    tuned_atoms : int
        How many of the last atoms are parameters; -1: all.

    Example
    -------
    >>> tuned = TunedDictionary(NMFDictionary(5, n_atoms=4), tuned_atoms=2)
    >>> tuned.log_atoms.shape, tuned.atoms.shape
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
        self.log_atoms: nn.Parameter | None = None
        if self.tuned_atoms:
            self.log_atoms = nn.Parameter(self._log_of_dictionary())

    def _log_of_dictionary(self) -> Tensor:
        atoms = self.dictionary.atoms.detach()
        first = atoms.shape[1] - self.tuned_atoms
        return atoms[:, first:].clamp_min(EPS).log()

    @property
    def atoms(self) -> Tensor:
        """The dictionary in use, [F, K]; gradients reach the tuned atoms."""
        atoms = self.dictionary.atoms
        if self.log_atoms is None:
            return atoms
        tuned = self.log_atoms.softmax(0)
        return torch.cat([atoms[:, : -self.tuned_atoms], tuned], 1)

    def start_tuning(self) -> None:
        """Sets the tuned atoms to those of the dictionary; ``fit`` does."""
        if self.log_atoms is not None:
            with torch.no_grad():
                self.log_atoms.copy_(self._log_of_dictionary())
