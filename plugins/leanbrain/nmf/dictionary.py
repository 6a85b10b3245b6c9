"""A dictionary of spectra, learnt from a corpus batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError, check_fraction, check_int, check_known
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.half import Scratch
from leanbrain.nmf.inputs import pack
from leanbrain.nmf.losses.base import row_losses
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.seeding import (
    atoms_from_frames,
    balanced,
    draw_frames,
    generator_for,
)
from leanbrain.nmf.solvers.base import EPS
from leanbrain.nmf.statistics import STATISTICS, Sums, sum_to_one

if TYPE_CHECKING:
    from leanbrain.nmf.training import Progress

__all__ = ["NMFDictionary"]

# Updates of a block between two looks for dead atoms.
LOOK_EVERY = 10


class NMFDictionary(nn.Module):
    """Atoms W [F, K] that are learnt from mini-batches of spectra.

    A batch is encoded with the present atoms, its sums are added to those of
    the batches before, which have decayed, and the atoms follow from the sums
    (see ``leanbrain.nmf.statistics``). Only atoms and sums are kept. All of
    it is in the ``state_dict``; there are no parameters.

    Utterances are scaled to one mean level: a recording weighs by its length,
    not by its loudness. Divergences are given per frame, in these units.

    Arguments
    ---------
    n_bins : int
        F, frequency bins of the spectra.
    n_atoms : int
        K; not used with `blocks`.
    blocks : Mapping | None
        Name -> number of atoms, for a supervised dictionary: a block is
        trained on its own frames, with its own atoms alone.
    loss : str
        "kl" (of magnitudes; the default for speech), "frobenius" or "is"
        (Itakura-Saito, of powers).
    forgetting : float
        Factor of all sums at each batch, in [0, 1): the memory is about
        1 / (1 - forgetting) batches. 0 takes each batch for all data.
    seed : int
        Of the first atoms and of those that replace dead ones. No global
        generator is touched.
    max_iter : int
        Iterations of the encoder in training.
    dead_below : float
        An atom is dead, and is replaced by a badly explained frame, when its
        use is below this share of the mean; 0 replaces none.

    Example
    -------
    >>> dictionary = NMFDictionary(5, n_atoms=2)
    >>> V = torch.rand(3, 20, 5, generator=torch.Generator().manual_seed(0))
    >>> losses = [dictionary.partial_fit(V) for _ in range(10)]
    >>> losses[-1] < losses[0], dictionary.is_trained
    (True, True)
    """

    def __init__(
        self,
        n_bins: int,
        n_atoms: int = 64,
        *,
        blocks: Mapping[str, int] | None = None,
        loss: str = "kl",
        forgetting: float = 0.9,
        seed: int = 0,
        max_iter: int = 20,
        dead_below: float = 0.01,
    ) -> None:
        super().__init__()
        self.n_bins = check_int("n_bins", n_bins, low=1)
        self._blocks = _slices(n_atoms, blocks)
        self.n_atoms = max(x.stop for x in self._blocks.values())
        self.problem = Problem.checked(loss, "auto", max_iter, 0.0, 0.0, 0.0)
        self.statistics = STATISTICS[loss]
        self.forgetting = check_fraction(
            "forgetting", forgetting, high_open=True
        )
        self.seed = check_int("seed", seed, low=0)
        self.dead_below = check_fraction(
            "dead_below", dead_below, high_open=True
        )
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

    @classmethod
    def concatenate(cls, parts: Mapping[str, NMFDictionary]) -> NMFDictionary:
        """Puts dictionaries side by side, each as a block.

        Arguments
        ---------
        parts : Mapping
            Name -> dictionary, of the same bins and loss. The first one's
            settings hold for all.

        Returns
        -------
        NMFDictionary
            New; atoms and sums are copies.

        Raises
        ------
        UserError
            If bins or losses differ, or there is no dictionary.
        """
        if not isinstance(parts, Mapping) or not parts:
            raise UserError(
                "`parts` must map names to at least one NMFDictionary, got "
                f"{parts!r}."
            )
        first = next(iter(parts.values()))
        for name, part in parts.items():
            if (part.n_bins, part.problem.loss) != (
                first.n_bins,
                first.problem.loss,
            ):
                raise UserError(
                    f"`parts` must be of one loss and {first.n_bins} bins, "
                    f"got {part.problem.loss.name!r} and {part.n_bins} bins "
                    f"in {name!r}, {first.problem.loss.name!r} before."
                )
        new = cls(
            first.n_bins,
            blocks={name: part.n_atoms for name, part in parts.items()},
            loss=first.problem.loss.name,
            forgetting=first.forgetting,
            seed=first.seed,
            max_iter=first.problem.max_iter,
            dead_below=first.dead_below,
        ).to(first.atoms)
        for i, (name, part) in enumerate(parts.items()):
            columns, every = new._blocks[name], slice(0, part.n_atoms)
            atoms, sums = part.atoms.to(new.atoms), part._sums(every)
            new._put(columns, atoms, sums)
            new.updates[i] = part.updates.min()
        return new

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

    def partial_fit(
        self,
        V: Tensor,
        lengths: Tensor | None = None,
        block: str | None = None,
    ) -> float:
        """Learns from one batch.

        Arguments
        ---------
        V : Tensor
            Spectra [B, T, F], finite and >= 0 where they are real.
        lengths : Tensor | None
            Relative lengths, [B].
        block : str | None
            The block to train, alone; None trains all atoms together.

        Returns
        -------
        float
            Mean divergence per frame before the update; silent frames do not
            count.

        Raises
        ------
        UserError
            If an argument is not as said, or all frames are silent.
        """
        rows = self.rows(V, lengths)
        if not len(rows):
            raise UserError(
                "`V` must have at least one real frame that is not silent, "
                f"got {tuple(V.shape)} with none."
            )
        return self.learn(rows, block) / len(rows)

    def divergence(
        self,
        V: Tensor,
        lengths: Tensor | None = None,
        block: str | None = None,
    ) -> float:
        """As ``partial_fit``, but learns nothing."""
        rows = self.rows(V, lengths)
        if not len(rows):
            raise UserError(
                "`V` must have at least one real frame that is not silent, "
                f"got {tuple(V.shape)} with none."
            )
        return self.total(rows, block) / len(rows)

    def fit(
        self,
        loader: Any,
        spectrum: Callable[[Any], tuple[Tensor, Tensor | None]],
        *,
        valid_loader: Any = None,
        max_epochs: int = 10,
        patience: int = 2,
        min_gain: float = 1e-3,
        block_of: Callable[[Any], Sequence[str]] | None = None,
        logger: Any = None,
        checkpointer: Any = None,
        save_every_min: float = 5.0,
        progress: bool = True,
    ) -> Progress:
        """Learns from all batches of a loader, epoch by epoch.

        With a `checkpointer` the training can be interrupted at any moment:
        the same call, in this process or a later one, goes on where it was
        saved and ends with the same numbers, bit for bit. Loaders that
        shuffle from a seed of their own or from torch's generators do so
        alike after a resume; ``set_epoch`` is called where there is one.

        Arguments
        ---------
        loader : DataLoader
            Any iterable of batches that can be iterated once per epoch.
        spectrum : Callable
            `spectrum(batch)` returns V [B, T, F] and relative lengths [B].
        valid_loader : DataLoader | None
            Decides when to stop, and which atoms are kept: the best. None
            decides by the training data, and keeps the last atoms.
        max_epochs : int
            Most epochs.
        patience : int
            Epochs without a gain that end it.
        min_gain : float
            Relative fall of the divergence that counts as a gain.
        block_of : Callable | None
            `block_of(batch)` returns the name of the block that each
            utterance trains; needed when there are several blocks.
        logger : TensorBoardLogger | None
            Gets divergences by batch, and pictures of the atoms by epoch.
        checkpointer : Checkpointer | None
            SpeechBrain's or ours, with a folder for this training alone: only
            the newest checkpoint is kept.
        save_every_min : float
            Minutes between checkpoints within an epoch.
        progress : bool
            Whether to show a bar.

        Returns
        -------
        Progress
            Divergences of every epoch, steps, and why it ended.

        Raises
        ------
        UserError
            If an argument is not as said, or an epoch has no frame.
        """
        from leanbrain.nmf.training import Training

        return Training(
            dictionary=self,
            spectrum=spectrum,
            loader=loader,
            valid_loader=valid_loader,
            max_epochs=max_epochs,
            patience=patience,
            min_gain=min_gain,
            block_of=block_of,
            logger=logger,
            checkpointer=checkpointer,
            save_every_min=save_every_min,
            progress_bar=progress,
        ).run()

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
        frames = pack(V, lengths)
        return balanced(V.detach().to(self.atoms), frames.valid)

    @torch.no_grad()
    def learn(self, rows: Tensor, block: str | None = None) -> float:
        """Updates from ``rows``; returns their divergence before, summed."""
        where, columns = self._columns(block)
        step = int(self.updates[where].max())
        with torch.autocast(rows.device.type, enabled=False):
            if step == 0:
                self._seed(rows, columns)
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

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the state, for ``restore``."""
        return {name: x.clone() for name, x in self.state_dict().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to a ``snapshot``."""
        for name, x in state.items():
            setattr(self, name, x.clone())

    def extra_repr(self) -> str:
        """The settings, for print."""
        sizes = {k: x.stop - x.start for k, x in self._blocks.items()}
        return (
            f"n_bins={self.n_bins}, blocks={sizes}, "
            f"loss={self.problem.loss.name!r}, forgetting={self.forgetting:g}"
        )

    def _columns(self, block: str | None) -> tuple[slice, slice]:
        """Where a block is, among the blocks and among the atoms."""
        if block is None:
            return slice(None), slice(0, self.n_atoms)
        name = check_known("block", block, self._blocks)
        i = list(self._blocks).index(name)
        return slice(i, i + 1), self._blocks[name]

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
        atoms = atoms.clone()
        for i, k in enumerate(indices):
            atoms[:, k] = fresh[:, i]
            sums = self.statistics.planted(sums, k, fresh[:, i])
        return atoms, sums

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


def _slices(
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
