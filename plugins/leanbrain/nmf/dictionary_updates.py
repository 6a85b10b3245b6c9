"""How a dictionary learns from frames: one encoding, one update."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.nmf.dictionary_state import DictionaryState
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.half import Scratch, threads_for
from leanbrain.nmf.inputs import pack
from leanbrain.nmf.losses.base import row_losses
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import power_of_two
from leanbrain.nmf.seeding import (
    atoms_from_frames,
    balanced,
    draw_frames,
    generator_for,
)
from leanbrain.nmf.solvers.base import EPS
from leanbrain.nmf.statistics import STATISTICS, Sums, sum_to_one

__all__ = ["DictionaryUpdates"]

# Updates of a block between two looks for dead atoms.
LOOK_EVERY = 10


class DictionaryUpdates(DictionaryState):
    """Atoms and sums that are updated from frames as rows [N, F].

    Arguments
    ---------
    n_bins : int
        F.
    blocks : dict
        Name -> slice of the atoms.
    problem : Problem
        Of the encoder in training.
    forgetting : float
        Factor of all sums at each update.
    frames_per_update : int
        About as many frames make an update.
    seed : int
        Of the first atoms and of those that replace dead ones.
    dead_below : float
        Share of the mean use below which an atom is dead.
    """

    def __init__(
        self,
        n_bins: int,
        blocks: dict[str, slice],
        problem: Problem,
        forgetting: float,
        frames_per_update: int,
        seed: int,
        dead_below: float,
    ) -> None:
        super().__init__(
            n_bins,
            blocks,
            STATISTICS[problem.loss.name],
            check_int("seed", seed, low=0),
            check_fraction("dead_below", dead_below, high_open=True),
        )
        self.problem = problem
        self.reseeded = 0
        """Atoms that were dead and began anew, since this object was made."""
        self.frames_per_update = check_int(
            "frames_per_update", frames_per_update, low=1
        )
        self.forgetting = check_fraction(
            "forgetting", forgetting, high_open=True
        )

    @torch.no_grad()
    def rows(self, V: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Checked, balanced frames [N, F] without the silent ones."""
        if torch.is_tensor(V) and V.dim() != 3:
            raise UserError(
                f"`V` must be a batch [B, T, F], got {tuple(V.shape)}."
            )
        if torch.is_tensor(V) and V.shape[2] != self.n_bins:
            raise UserError(
                f"`V` must have {self.n_bins} frequency bins, as the "
                f"dictionary has, got {V.shape[2]}."
            )
        frames = pack(V, lengths)  # checks the values
        V, valid = V.detach().to(self.atoms), frames.valid
        rows = balanced(V, None if valid is None else valid.to(V.device))
        if self.problem.loss.degree == 0 and len(rows):
            # log V: zero is taken as the floor, as the encoder does.
            top = power_of_two(rows.amax(1, keepdim=True))
            rows = torch.maximum(rows, EPS * top)
        return rows

    @torch.no_grad()
    def learn(self, rows: Tensor, block: str | None = None) -> float:
        """Updates from ``rows``; returns their divergence before, summed."""
        where, columns = self._columns(block)
        if int(self.updates[where].max()) == 0:
            self._seed(rows, columns)
        # Of equal sizes, as the memory is counted in updates.
        parts = max(1, round(len(rows) / self.frames_per_update))
        with threads_for(rows[: self.frames_per_update], self.n_atoms):
            return sum(
                self._update(part.contiguous(), where, columns)
                for part in rows.tensor_split(parts)
            )

    def _update(self, rows: Tensor, where: slice, columns: slice) -> float:
        """One encoding and one update of the atoms."""
        step = int(self.updates[where].max())
        with torch.autocast(rows.device.type, enabled=False):
            W = self.atoms[:, columns].clamp_min(EPS)
            H, info = encode_rows(rows, W, self.problem)
            new = self.statistics.gather(rows, H, W, self.problem.loss)
            sums = self._sums(columns).decayed(self.forgetting, new)
            atoms, c = sum_to_one(self.statistics.update(W, sums))
            sums = self.statistics.rescaled(sums, c)
            if (step + 1) % LOOK_EVERY == 0:
                generator = generator_for(self.seed, step * 7919 + 2)
                atoms, sums = self._revived(rows, H, W, atoms, sums, generator)
            self._put(columns, atoms, sums)
        updates = self.updates.clone()
        updates[where] += 1
        self.updates = updates
        return info.losses[-1]

    @torch.no_grad()
    def total(self, rows: Tensor, block: str | None = None) -> float:
        """The divergence of ``rows``, summed."""
        _, columns = self._columns(block)
        W = self.atoms[:, columns].clamp_min(EPS)
        _, info = encode_rows(rows, W, self.problem)
        return info.losses[-1]

    def _seed(self, rows: Tensor, columns: slice) -> None:
        """The first atoms of a block, from its first frames."""
        generator = generator_for(self.seed, columns.start * 7919 + 1)
        count = columns.stop - columns.start
        # By the square root of their level: not pauses alone, not the
        # loudest vowels alone.
        picked = draw_frames(rows.sum(1).sqrt(), count, generator)
        atoms = self.atoms.clone()
        atoms[:, columns] = atoms_from_frames(rows, picked, generator)
        self.atoms = atoms

    def _revived(
        self,
        rows: Tensor,
        H: Tensor,
        W: Tensor,
        atoms: Tensor,
        sums: Sums,
        generator: torch.Generator,
    ) -> tuple[Tensor, Sums]:
        """Dead atoms replaced by frames drawn by their divergence."""
        dead = sums.use < self.dead_below * sums.use.mean()
        indices = dead.nonzero().flatten().tolist()
        if not indices:
            return atoms, sums
        scratch = Scratch(rows)
        loss = row_losses(self.problem.loss, rows, H, W, scratch).clamp_min(0)
        if not bool(loss.sum() > 0):
            return atoms, sums
        picked = draw_frames(loss, len(indices), generator)
        fresh = atoms_from_frames(rows, picked, generator)
        self.reseeded += len(indices)
        atoms = atoms.clone()
        for i, k in enumerate(indices):
            atoms[:, k] = fresh[:, i]
            sums = self.statistics.planted(sums, k, fresh[:, i])
        return atoms, sums
