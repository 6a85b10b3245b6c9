"""A dictionary of spectra, learnt from a corpus batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.nmf.dictionary_state import DictionaryState, block_slices
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.half import Scratch
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

if TYPE_CHECKING:
    from leanbrain.nmf.progress import Progress

__all__ = ["NMFDictionary"]

# Updates of a block between two looks for dead atoms.
LOOK_EVERY = 10


class NMFDictionary(DictionaryState):
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
        Factor of all sums at each update, in [0, 1): the memory is about
        1 / (1 - forgetting) updates. 0 takes each batch for all data.
    frames_per_update : int
        A batch is divided into parts of about as many frames, each with an
        update of its own: many updates learn faster than long ones.
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
        forgetting: float = 0.5,
        frames_per_update: int = 256,
        seed: int = 0,
        max_iter: int = 20,
        dead_below: float = 0.01,
    ) -> None:
        problem = Problem.checked(loss, "auto", max_iter, 0.0, 0.0, 0.0)
        super().__init__(
            check_int("n_bins", n_bins, low=1),
            block_slices(n_atoms, blocks),
            STATISTICS[loss],
            check_int("seed", seed, low=0),
            check_fraction("dead_below", dead_below, high_open=True),
        )
        self.problem = problem
        self.frames_per_update = check_int(
            "frames_per_update", frames_per_update, low=1
        )
        self.forgetting = check_fraction(
            "forgetting", forgetting, high_open=True
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
            frames_per_update=first.frames_per_update,
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
            Mean divergence per frame, of each part before its update; silent
            frames do not count.

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
        rows = balanced(V.detach().to(self.atoms), frames.valid)
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

    def extra_repr(self) -> str:
        """The settings, for print."""
        sizes = {k: x.stop - x.start for k, x in self._blocks.items()}
        return (
            f"n_bins={self.n_bins}, blocks={sizes}, "
            f"loss={self.problem.loss.name!r}, forgetting={self.forgetting:g}"
        )

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
