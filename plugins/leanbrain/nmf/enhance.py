"""Denoising and separation of waveforms with a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from speechbrain.utils.autocast import fwd_default_precision
from torch import Tensor, nn

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_known,
    check_positive,
)
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.inputs import check_factor, valid_frames
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.separation import semi_supervised, wiener_masks

__all__ = ["NMFEnhance"]

NOISE = "noise"


class NMFEnhance(nn.Module):
    """Takes noise out of speech, or speakers apart, by non-negative atoms.

    The dictionary's atoms are fixed; `noise_atoms` further ones are learnt on
    each utterance (semi-supervised). Each source gets its share of every bin
    of the short-time spectrum, and the phase of the mixture. The sources add
    up to the mixture. Gradients do not flow.

    Arguments
    ---------
    dictionary : Tensor | NMFDictionary
        Atoms [F, K] of clean speech, F = n_fft // 2 + 1, of spectra with the
        same window, hop and exponent; or an object with `atoms` and with
        `blocks`, the columns (a slice) of each source by name.
    noise_atoms : int
        How many atoms to learn on each utterance; 0: none, the blocks of the
        dictionary explain everything.
    sample_rate : int
        In Hz.
    n_fft : int
        Samples of an FFT.
    win_length, hop_length : float
        In milliseconds; a hop is at most half a window.
    loss : str
        "kl", "frobenius" or "is".
    max_iter : int
        Most iterations on an utterance.
    tol : float
        An utterance is done when 10 iterations lower its loss by less than
        this share; 0 makes exactly `max_iter`.
    l1 : float
        Weight of the sum of the dictionary's activations. More takes away
        more noise, and more speech. Independent of the level for "kl" alone:
        with another loss choose one for your data.
    spectrum_power : float
        Exponent of the magnitude, as in ``NMFFeatures``.
    mask_power : float
        Exponent of the estimated spectra in the masks.
    sources : Sequence of str | None
        Blocks that are the enhanced signal; None: all but one called "noise".
    quiet : float
        Share of frames, the quietest, that the noise is learnt from.
    seed : int
        Of the start of the learnt atoms; the global generator is left alone.

    Example
    -------
    >>> wavs = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    >>> atoms = torch.eye(129, 40) + 0.01
    >>> enhance = NMFEnhance(atoms, sample_rate=8000, n_fft=256)
    >>> enhance(wavs, torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 4000])
    >>> parts = enhance.separate(wavs)
    >>> sorted(parts), torch.allclose(sum(parts.values()), wavs, atol=1e-5)
    (['noise', 'speech'], True)
    """

    window: Tensor
    own_atoms: Tensor

    def __init__(
        self,
        dictionary: Any,
        *,
        noise_atoms: int = 8,
        sample_rate: int = 16000,
        n_fft: int = 400,
        win_length: float = 25,
        hop_length: float = 10,
        loss: str = "kl",
        max_iter: int = 50,
        tol: float = 1e-4,
        l1: float = 0.15,
        spectrum_power: float = 1.0,
        mask_power: float = 2.0,
        sources: Sequence[str] | None = None,
        quiet: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_fft = check_int("n_fft", n_fft, low=2)
        self._frame(sample_rate, win_length, hop_length)
        self.noise_atoms = check_int("noise_atoms", noise_atoms, low=0)
        self.max_iter = check_int("max_iter", max_iter, low=1)
        self.problem = Problem.checked(loss, "auto", max_iter, tol, l1, 0.0)
        self.spectrum_power = check_positive("spectrum_power", spectrum_power)
        self.mask_power = check_positive("mask_power", mask_power)
        self.quiet = check_fraction("quiet", quiet, low_open=True)
        self.seed = check_int("seed", seed)
        if not torch.is_tensor(getattr(dictionary, "atoms", dictionary)):
            raise UserError(
                "`dictionary` must be a tensor [F, K] or have one as `atoms`, "
                f"got {type(dictionary).__name__}."
            )
        self.dictionary = dictionary
        self.register_buffer("own_atoms", None)
        if torch.is_tensor(dictionary):
            self.dictionary = None
            self.own_atoms = dictionary.detach().clone()
        self._check_dictionary()
        self.sources = self._check_sources(sources)

    def _frame(self, rate: int, win_length: float, hop_length: float) -> None:
        rate = check_int("sample_rate", rate, low=1)
        win = check_positive("win_length", win_length)
        hop = check_positive("hop_length", hop_length)
        # As SpeechBrain's STFT rounds them.
        self.win, self.hop = round(rate / 1000 * win), round(rate / 1000 * hop)
        if not 2 <= self.win <= self.n_fft:
            raise UserError(
                f"`win_length` must be 2 to n_fft = {self.n_fft} samples, got "
                f"{self.win} ({win:g} ms)."
            )
        if not 1 <= self.hop <= self.win // 2:
            raise UserError(
                "`hop_length` must be at least a sample and at most half of "
                f"`win_length` ({self.win} samples), got {self.hop} samples "
                f"({hop:g} ms)."
            )
        window = torch.hamming_window(self.win, dtype=torch.float64)
        left = (self.n_fft - self.win) // 2
        right = self.n_fft - self.win - left
        window = nn.functional.pad(window, (left, right))
        self.register_buffer("window", window, persistent=False)

    @property
    def atoms(self) -> Tensor:
        """The fixed atoms, [F, K]."""
        if self.dictionary is None:
            return self.own_atoms
        return self.dictionary.atoms.detach()

    @property
    def blocks(self) -> dict[str, slice]:
        """Columns of each source of the dictionary, by name."""
        blocks = getattr(self.dictionary, "blocks", None)
        return dict(blocks or {"speech": slice(0, self.atoms.shape[1])})

    def _check_dictionary(self) -> None:
        atoms = self.atoms
        bins = self.n_fft // 2 + 1
        if atoms.dim() != 2 or atoms.shape[0] != bins:
            raise UserError(
                f"`dictionary` must have n_fft // 2 + 1 = {bins} bins (rows), "
                f"got {tuple(atoms.shape)}."
            )
        check_factor("dictionary", atoms, (bins, -1))
        empty = int((atoms.sum(0) == 0).sum())
        if empty:
            raise UserError(
                f"`dictionary` must have no atom of zeros, got {empty}."
            )
        columns = torch.arange(atoms.shape[1])
        covered = torch.cat([columns[s] for s in self.blocks.values()])
        if not torch.equal(covered.sort().values, columns):
            raise UserError(
                "`dictionary` must have every atom in exactly one block, got "
                f"{self.blocks} for {len(columns)} atoms."
            )

    def _check_sources(self, sources: Sequence[str] | None) -> list[str]:
        blocks = self.blocks
        if sources is None:
            kept = [name for name in blocks if name != NOISE]
        elif isinstance(sources, str) or not sources:
            raise UserError(
                "`sources` must be a list of at least one block of the "
                f"dictionary (or null for all), got {sources!r}."
            )
        else:
            unique = dict.fromkeys(sources)
            kept = [check_known("sources", name, blocks) for name in unique]
        if not kept:
            raise UserError(
                "`dictionary` must have a block that is not called 'noise', "
                f"got {', '.join(blocks)}."
            )
        return kept

    @torch.no_grad()
    @fwd_default_precision(cast_inputs=torch.float32)
    def forward(self, wavs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Enhanced waveforms.

        Arguments
        ---------
        wavs : Tensor
            [B, time], of a floating type.
        lengths : Tensor | None
            Relative lengths, [B]; what lies beyond may be anything.

        Returns
        -------
        Tensor
            [B, time], 0 in the padding; float32, or float64 as `wavs`.

        Raises
        ------
        UserError
            If the waveforms are not as said, or there is nothing to remove.
        """
        if not self.noise_atoms and set(self.sources) == set(self.blocks):
            raise UserError(
                "`noise_atoms` must be >= 1 unless `sources` leaves out a "
                "block of the dictionary: nothing would be removed; got 0."
            )
        return _add(self.separate(wavs, lengths), self.sources)

    @torch.no_grad()
    @fwd_default_precision(cast_inputs=torch.float32)
    def separate(
        self, wavs: Tensor, lengths: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Waveforms of all sources.

        Arguments
        ---------
        wavs : Tensor
            [B, time], of a floating type.
        lengths : Tensor | None
            Relative lengths, [B]; what lies beyond may be anything.

        Returns
        -------
        dict
            Block of the dictionary -> [B, time], and "noise" for the learnt
            atoms (with those of a block of this name). They add up to `wavs`.

        Raises
        ------
        UserError
            If the waveforms are not as said.
        """
        if not getattr(self.dictionary, "is_trained", True):
            raise UserError(
                "The dictionary must be trained before it can separate: call "
                "its `fit` or load one, got one with 0 updates."
            )
        wavs, samples = _check_wavs(wavs, lengths)
        # T = 1 + samples // hop, as SpeechBrain's STFT; nothing has no frame.
        shift = self.n_fft % 2
        counts = (samples - shift).clamp_min(0) // self.hop + 1
        counts = torch.where(samples > 0, counts, 0)
        spectrum = self._analyse(wavs)
        if not spectrum.numel():
            names = [NOISE] * bool(self.noise_atoms) + list(self.blocks)
            return {name: wavs.clone() for name in names}
        masks = self._masks(spectrum.abs(), counts)
        real = _first(samples, wavs.shape[1]).to(wavs.device)
        return {
            name: torch.where(
                real, self._synthesise(spectrum * mask, counts, wavs), 0.0
            )
            for name, mask in masks.items()
        }

    def _analyse(self, wavs: Tensor) -> Tensor:
        """Short-time spectra [B, T, F] about every `hop`-th sample."""
        half = self.n_fft // 2
        padded = nn.functional.pad(wavs, (half, half))
        frames = padded.unfold(1, self.n_fft, self.hop)
        if not frames.numel():  # which some FFTs refuse
            empty = frames[..., : self.n_fft // 2 + 1]
            return torch.complex(empty, empty)
        return torch.fft.rfft(frames * self.window.to(wavs))

    def _synthesise(
        self, spectrum: Tensor, counts: Tensor, wavs: Tensor
    ) -> Tensor:
        """Least squares inverse of ``_analyse`` from the real frames alone.

        torch.istft divides by the windows of the padding's frames as well,
        with which the end of an utterance would depend on the batch.
        """
        window = self.window.to(wavs)
        valid = _first(counts, spectrum.shape[1]).to(wavs).unsqueeze(-1)
        frames = torch.fft.irfft(spectrum, self.n_fft) * window * valid
        signal = self._overlap_add(frames)
        weight = self._overlap_add(window.square() * valid)
        half, time = self.n_fft // 2, wavs.shape[1]
        signal, weight = (x[:, half : half + time] for x in (signal, weight))
        # Zero only in the padding.
        return torch.where(weight > 0, signal / weight, 0.0)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """[B, T, n_fft] -> [B, n_fft + (T - 1) * hop]."""
        length = self.n_fft + (frames.shape[1] - 1) * self.hop
        return nn.functional.fold(
            frames.mT, (1, length), (1, self.n_fft), stride=(1, self.hop)
        )[:, 0, 0]

    def _masks(self, magnitude: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """A mask [B, T, F] by source."""
        V = magnitude.pow(self.spectrum_power)
        W = self.atoms.to(V)
        parts = {}
        if self.noise_atoms:
            generator = torch.Generator().manual_seed(self.seed)
            H, learnt, _ = semi_supervised(
                V,
                W,
                self.noise_atoms,
                self.problem,
                counts=counts,
                generator=generator,
                quiet=self.quiet,
            )
            parts[NOISE] = H[..., W.shape[1] :] @ learnt.mT
        else:
            valid = _first(counts, V.shape[1]).to(V.device)
            H = V.new_zeros(*V.shape[:2], W.shape[1])
            H[valid], _ = encode_rows(V[valid], W, self.problem)
        for name, columns in self.blocks.items():
            part = H[..., : W.shape[1]][..., columns] @ W[:, columns].T
            parts[name] = part + parts[name] if name in parts else part
        masks = wiener_masks(torch.stack(list(parts.values())), self.mask_power)
        return dict(zip(parts, masks, strict=True))


def _first(counts: Tensor, size: int) -> Tensor:
    """The first `counts` of `size`, bool [B, size]."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def _add(parts: dict[str, Tensor], names: list[str]) -> Tensor:
    return torch.stack([parts[name] for name in names]).sum(0)


def _check_wavs(wavs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Waveforms with silent padding, and their numbers of samples [B]."""
    if not torch.is_tensor(wavs) or wavs.dim() != 2:
        got = (
            tuple(wavs.shape) if torch.is_tensor(wavs) else type(wavs).__name__
        )
        raise UserError(f"`wavs` must be a tensor [B, time], got {got}.")
    if not wavs.is_floating_point():
        raise UserError(f"`wavs` must be of a floating type, got {wavs.dtype}.")
    if wavs.dtype in (torch.float16, torch.bfloat16):
        wavs = wavs.float()
    batch, time = wavs.shape
    samples = torch.full((batch,), time)
    if lengths is not None:
        valid_frames(lengths, batch, 1)  # checks them
        # Rounded: n / time * time in float32 is n only nearly.
        samples = (lengths.detach().cpu().double() * time).round().long()
        wavs = wavs.masked_fill(~_first(samples, time).to(wavs.device), 0.0)
    if not bool(torch.isfinite(wavs).all()):
        raise UserError(
            "`wavs` must be finite wherever it is no padding, got NaN or "
            "infinity."
        )
    return wavs, samples
