"""What a dictionary consists of: atoms, sums, blocks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError, check_int, check_known
from leanbrain.nmf.seeding import generator_for
from leanbrain.nmf.solvers.base import EPS
from leanbrain.nmf.statistics import Statistics, Sums, sum_to_one

__all__ = ["DictionaryState", "block_slices"]


class DictionaryState(nn.Module):
    """Buffers of a dictionary, and where its blocks are in them.

    Arguments
    ---------
    n_bins : int
        F.
    blocks : dict
        Name -> slice of the atoms.
    statistics : Statistics
        Says which sums there are.
    seed : int
        Of the atoms before any data.
    dead_below : float
        Share of the mean use below which an atom is dead.
    """

    def __init__(
        self,
        n_bins: int,
        blocks: dict[str, slice],
        statistics: Statistics,
        seed: int,
        dead_below: float,
    ) -> None:
        super().__init__()
        self.n_bins, self.seed = n_bins, seed
        self._blocks, self.statistics = blocks, statistics
        self.n_atoms: int = max(x.stop for x in blocks.values())
        self.dead_below = dead_below
        self._register()

    def _register(self) -> None:
        generator = generator_for(self.seed, 0)
        noise = torch.rand(self.n_bins, self.n_atoms, generator=generator)
        sums = self.statistics.empty(self.n_bins, self.n_atoms)
        # Never written in place, always replaced: an interrupted update
        # leaves what was there before.
        self.atoms: Tensor
        self.first: Tensor
        self.second: Tensor
        self.use: Tensor
        self.updates: Tensor
        self.register_buffer("atoms", sum_to_one(noise.clamp_min(EPS))[0])
        self.register_buffer("first", sums.first)
        self.register_buffer("second", sums.second)
        self.register_buffer("use", sums.use)
        self.register_buffer(
            "updates", torch.zeros(len(self._blocks), dtype=torch.int64)
        )

    @property
    def blocks(self) -> dict[str, slice]:
        """Where the atoms of each block are; one named "all" by default."""
        return dict(self._blocks)

    @property
    def is_trained(self) -> bool:
        """Whether every block has learnt from data."""
        return bool((self.updates > 0).all())

    @property
    def share(self) -> Tensor:
        """Share of each atom in its block's activations, [K]; 0 untrained."""
        share = torch.zeros_like(self.use)
        for part in self._blocks.values():
            total = self.use[part].sum()
            if total > 0:
                share[part] = self.use[part] / total
        return share

    def dead_atoms(self) -> list[int]:
        """Atoms used less than `dead_below` times their block's mean."""
        share, dead = self.share, []
        for i, part in enumerate(self._blocks.values()):
            if self.updates[i]:
                below = self.dead_below / (part.stop - part.start)
                found = (share[part] < below).nonzero().flatten()
                dead += [part.start + k for k in found.tolist()]
        return dead

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the state, for ``restore``."""
        return {name: x.clone() for name, x in self.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to a ``snapshot``."""
        for name, x in state.items():
            setattr(self, name, x.clone())

    def _columns(self, block: str | None) -> tuple[slice, slice]:
        """Where a block is, among the blocks and among the atoms."""
        if block is None:
            return slice(None), slice(0, self.n_atoms)
        name = check_known("block", block, self._blocks)
        i = list(self._blocks).index(name)
        return slice(i, i + 1), self._blocks[name]

    def _sums(self, columns: slice) -> Sums:
        rows = columns if self.statistics.square else slice(None)
        return Sums(
            self.first[:, columns],
            self.second[rows, columns],
            self.use[columns],
        )

    def _put(self, columns: slice, atoms: Tensor, sums: Sums) -> None:
        """Writes a block's columns into new buffers."""
        rows = columns if self.statistics.square else slice(None)
        for name, where, value in (
            ("atoms", (slice(None), columns), atoms),
            ("first", (slice(None), columns), sums.first),
            ("second", (rows, columns), sums.second),
            ("use", (columns,), sums.use),
        ):
            whole = getattr(self, name).clone()
            whole[where] = value
            setattr(self, name, whole)


def block_slices(
    n_atoms: int, blocks: Mapping[str, int] | None
) -> dict[str, slice]:
    """Where the atoms of each block are."""
    if blocks is None:
        return {"all": slice(0, check_int("n_atoms", n_atoms, low=1))}
    if not isinstance(blocks, Mapping) or not blocks:
        raise UserError(
            "`blocks` must map at least one name to a number of atoms, got "
            f"{blocks!r}."
        )
    found, start = {}, 0
    for name, n in blocks.items():
        size = check_int(f"blocks[{name!r}]", n, low=1)
        found[str(name)] = slice(start, start + size)
        start += size
    return found
