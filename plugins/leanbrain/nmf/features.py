"""NMF activations as the front end of a SpeechBrain recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from speechbrain.processing.features import STFT, ContextWindow, Deltas
from speechbrain.utils.autocast import fwd_default_precision
from torch import Tensor

from leanbrain.checks import (
    UserError,
    check_callable,
    check_int,
    check_positive,
)
from leanbrain.nmf.blocks import check_blocks
from leanbrain.nmf.compression import log1p
from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.framing import check_wavs
from leanbrain.nmf.inputs import Frames, pack
from leanbrain.nmf.padding import extended, silenced
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.solvers.base import Solver
from leanbrain.nmf.tuning import TunedDictionary
from leanbrain.nmf.unrolled import encode_unrolled
from leanbrain.threads import threads_on

__all__ = ["NMFFeatures"]


class NMFFeatures(TunedDictionary):
    """Activations of a dictionary, where a recipe says `compute_features`.

    In place of ``speechbrain.lobes.features.Fbank``; the number of atoms is
    what `n_mels` is there. The dictionary is trained first, by ``fit`` or
    elsewhere. Frames are encoded independently of each other: chunks of a
    stream give the same features as the whole (but for `deltas` and `context`,
    which look at neighbours).

    With `tuned_atoms` the last atoms are parameters, trained with the network
    behind (see ``TunedDictionary``): activations are found without gradients
    first, then `unrolled` further updates carry the gradient (see
    ``encode_unrolled``). List the module among the Brain's modules then.

    Arguments
    ---------
    n_atoms : int
        K, the atoms of the own dictionary; not used if one is given.
    sample_rate : int
        In Hz.
    n_fft : int
        Samples of an FFT; F = n_fft // 2 + 1.
    win_length, hop_length : float
        In milliseconds.
    loss : str
        "kl", "frobenius" or "is", in learning and encoding.
    solver : str | Solver
        Of the encoder, see ``encode``.
    max_iter : int
        Most iterations of a frame.
    tol : float
        When a frame is done, see ``encode``.
    l1 : float
        Weight of the sum of activations, as of ``encode``: sparse ones with
        loss="frobenius". In encoding alone, learning has none.
    spectrum_power : float
        Exponent of the magnitude: 1 magnitudes (as fits "kl"), 2 powers (as
        fits "is").
    compression : Callable
        From ``leanbrain.nmf.compression``, or your own.
    deltas, context : bool
        Append derivatives; append neighbouring frames.
    left_frames, right_frames : int
        Neighbours that `context` appends.
    dictionary : NMFDictionary | None
        One to share or to load; None makes one.
    keep : Sequence of str | None
        Blocks of the dictionary whose activations are put out: with a block
        of noise left out, the noise is explained away. None keeps all.
    tuned_atoms : int
        How many of the last atoms are trained with the network; -1: all.
    unrolled : int
        Updates that carry the gradient.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> wavs = torch.randn(2, 8000)
    >>> features = NMFFeatures(n_atoms=8, sample_rate=8000, n_fft=256)
    >>> _ = features.dictionary.partial_fit(features.spectrum(wavs))
    >>> features(wavs).shape
    torch.Size([2, 101, 8])
    """

    columns: Tensor

    def __init__(
        self,
        n_atoms: int = 64,
        sample_rate: int = 16000,
        n_fft: int = 400,
        win_length: float = 25,
        hop_length: float = 10,
        loss: str = "kl",
        solver: str | Solver = "auto",
        max_iter: int = 40,
        tol: float = 1e-3,
        l1: float = 0.0,
        spectrum_power: float = 1.0,
        compression: Callable[[Tensor], Tensor] = log1p,
        deltas: bool = False,
        context: bool = False,
        left_frames: int = 5,
        right_frames: int = 5,
        dictionary: NMFDictionary | None = None,
        keep: Sequence[str] | None = None,
        tuned_atoms: int = 0,
        unrolled: int = 10,
    ) -> None:
        bins = check_int("n_fft", n_fft, low=2) // 2 + 1
        if dictionary is None:
            dictionary = NMFDictionary(bins, n_atoms, loss=loss)
        if dictionary.atoms.shape[0] != bins:
            raise UserError(
                f"`dictionary` must have n_fft // 2 + 1 = {bins} bins, got "
                f"{dictionary.atoms.shape[0]}."
            )
        if dictionary.problem.loss.name != loss:
            raise UserError(
                "`loss` must be the one of the dictionary, "
                f"{dictionary.problem.loss.name!r}, got {loss!r}."
            )
        super().__init__(dictionary, tuned_atoms)
        self.problem = Problem.checked(loss, solver, max_iter, tol, l1, 0.0)
        self.loss, self.unrolled = loss, check_int("unrolled", unrolled, low=1)
        self.compression = check_callable("compression", compression)
        self.spectrum_power = check_positive("spectrum_power", spectrum_power)
        self.compute_STFT = STFT(
            sample_rate=sample_rate,
            n_fft=n_fft,
            win_length=win_length,
            hop_length=hop_length,
        )
        kept = self._kept_columns(keep)
        self.register_buffer("columns", kept, persistent=False)
        self.deltas, self.context = deltas, context
        self.compute_deltas = Deltas(input_size=len(kept))
        self.context_window = ContextWindow(left_frames, right_frames)
        width = 1 + left_frames + right_frames if context else 1
        self.n_out = len(kept) * (3 if deltas else 1) * width

    def _kept_columns(self, keep: Sequence[str] | None) -> Tensor:
        every = torch.arange(self.dictionary.atoms.shape[1])
        blocks = self.dictionary.blocks
        chosen = check_blocks("keep", keep, blocks)
        if chosen is None:
            return every
        return torch.cat([every[blocks[name]] for name in chosen])

    def fit(self, loader: Any, valid_loader: Any = None, **options: Any) -> Any:
        """Trains the dictionary on the audio of SpeechBrain batches.

        Arguments
        ---------
        loader, valid_loader : DataLoader
            Batches with `sig`, as (wavs, lengths).
        **options
            As of ``NMFDictionary.fit``.

        Returns
        -------
        Any
            What ``NMFDictionary.fit`` returns.
        """
        return self.dictionary.fit(
            loader, self._batch_spectrum, valid_loader=valid_loader, **options
        )

    def _batch_spectrum(self, batch: Any) -> tuple[Tensor, Tensor]:
        wavs, lengths = batch.sig
        return self._spectra(wavs.to(self.dictionary.atoms.device), lengths)

    def spectrum(self, wavs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The non-negative spectra that are encoded.

        Arguments
        ---------
        wavs : Tensor
            [B, time].
        lengths : Tensor | None
            Relative lengths, [B]; what lies beyond is taken as silence.

        Returns
        -------
        Tensor
            [B, T, F], T = 1 + time // hop.
        """
        return self._spectra(wavs, lengths)[0]

    @fwd_default_precision(cast_inputs=torch.float32)
    def _spectra(
        self, wavs: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Spectra, and the share of them that is of the utterance.

        An utterance has 1 + samples // hop frames, as it has alone; masks
        from relative lengths now and then count one more.
        """
        wavs, samples = check_wavs(wavs, lengths)
        atoms, hop = self.dictionary.atoms, self.get_filter_properties().stride
        if not len(wavs):  # which FFTs refuse
            return atoms.new_zeros(
                0, 1 + wavs.shape[1] // hop, len(atoms)
            ), None
        # About the multiply-adds of its FFTs.
        work = wavs.numel() / hop * len(atoms) * math.log2(2 * len(atoms))
        with threads_on(atoms, work):
            power = self.compute_STFT(wavs.to(atoms)).square().sum(-1)
            # Silence is 0 and not the floor under a root, which would be
            # learnt; the root's slope there is taken as 0.
            loud = power > 0
            V = torch.where(loud, power, 1.0).pow(self.spectrum_power / 2)
            V = torch.where(loud, V, 0.0)
        if lengths is None:
            return V, None
        frames = torch.where(samples > 0, 1 + samples // hop, 0)
        return V, (frames / V.shape[1]).to(V.device)

    @fwd_default_precision(cast_inputs=torch.float32)
    def forward(self, wavs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features of waveforms.

        Arguments
        ---------
        wavs : Tensor
            [B, time].
        lengths : Tensor | None
            Relative lengths, [B]. Given, padding is not encoded and its
            features are 0; SpeechBrain's recipes do not give them.

        Returns
        -------
        Tensor
            [B, T, n_out].

        Raises
        ------
        UserError
            If the dictionary has not been trained.
        """
        return self.forward_spec(*self._spectra(wavs, lengths))

    @fwd_default_precision(cast_inputs=torch.float32)
    def forward_spec(self, V: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features of spectra [B, T, F]; otherwise as ``forward``."""
        if V.dim() != 3 or V.shape[2] != self.dictionary.n_bins:
            raise UserError(
                f"`V` must be a batch [B, T, {self.dictionary.n_bins}], got "
                f"{tuple(V.shape)}."
            )
        if not self.dictionary.is_trained:
            raise UserError(
                "The dictionary must be trained before features are computed: "
                "call `fit` of the front end, or load one, got one with 0 "
                "updates."
            )
        with threads_on(V, V.numel() * self.dictionary.atoms.shape[1]):
            frames = pack(V, lengths)
            H = self.activations(frames.rows)[:, self.columns]
            feats = self.compression(H)
            return self._assemble(frames, feats)

    def activations(self, rows: Tensor) -> Tensor:
        """H [N, K] of frames as rows [N, F], before any compression."""
        W = self.atoms
        H, _ = encode_rows(rows, W.detach(), self.problem)
        if self.log_shift is None or not len(rows):
            return H
        return encode_unrolled(
            rows,
            W,
            self.unrolled,
            loss=self.loss,
            start=H,
            l1=self.problem.l1,
        )

    def _assemble(self, frames: Frames, feats: Tensor) -> Tensor:
        feats = frames.unpack(feats)
        if self.deltas:
            # At the end of an utterance the last frame is repeated, in a
            # batch as alone.
            first = self.compute_deltas(extended(feats, frames.valid))
            second = self.compute_deltas(extended(first, frames.valid))
            feats = silenced(torch.cat([feats, first, second], 2), frames.valid)
        if self.context:
            feats = silenced(self.context_window(feats), frames.valid)
        return feats

    def get_filter_properties(self) -> Any:
        """Window and stride in samples, of the STFT."""
        return self.compute_STFT.get_filter_properties()
