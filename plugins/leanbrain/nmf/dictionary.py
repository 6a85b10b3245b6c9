"""A dictionary of spectra, learnt from a corpus batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from leanbrain.checks import UserError, check_int
from leanbrain.nmf.dictionary_state import block_slices
from leanbrain.nmf.dictionary_updates import DictionaryUpdates
from leanbrain.nmf.problem import Problem

if TYPE_CHECKING:
    from leanbrain.nmf.progress import Progress

__all__ = ["NMFDictionary"]


class NMFDictionary(DictionaryUpdates):
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
    >>> import torch
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
            problem,
            forgetting,
            frames_per_update,
            seed,
            dead_below,
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
        rows = self._some_rows(V, lengths)
        return self.learn(rows, block) / len(rows)

    def divergence(
        self,
        V: Tensor,
        lengths: Tensor | None = None,
        block: str | None = None,
    ) -> float:
        """As ``partial_fit``, but learns nothing."""
        rows = self._some_rows(V, lengths)
        return self.total(rows, block) / len(rows)

    def _some_rows(self, V: Tensor, lengths: Tensor | None) -> Tensor:
        rows = self.rows(V, lengths)
        if not len(rows):
            raise UserError(
                "`V` must have at least one real frame that is not silent, "
                f"got {tuple(V.shape)} with none."
            )
        return rows

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

        All ranks of a distributed run call it: the first one learns, from its
        loader alone, and the others get the dictionary.

        Arguments
        ---------
        loader : DataLoader
            Any iterable of batches that can be iterated once per epoch; of
            all data, not of a rank's share.
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

    def extra_repr(self) -> str:
        """The settings, for print."""
        sizes = {k: x.stop - x.start for k, x in self._blocks.items()}
        return (
            f"n_bins={self.n_bins}, blocks={sizes}, "
            f"loss={self.problem.loss.name!r}, forgetting={self.forgetting:g}"
        )
