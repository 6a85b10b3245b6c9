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
    check_positive,
)
from leanbrain.nmf.blocks import check_blocks, check_dictionary
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.framing import Framing, check_wavs, leading
from leanbrain.nmf.inputs import check_penalty
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.semi_supervised import semi_supervised
from leanbrain.nmf.separation import wiener_masks

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
    speech_cost : float
        Weight of the sum of the dictionary's activations beside learnt atoms,
        see ``semi_supervised``. More takes away more noise, and more speech.
        Independent of the level for "kl" alone: with another loss choose one
        for your data. Without noise atoms it is not used.
    l1 : float
        Weight of the sum of activations, as of ``encode``, where there are no
        noise atoms.
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
        speech_cost: float = 0.15,
        l1: float = 0.0,
        spectrum_power: float = 1.0,
        mask_power: float = 2.0,
        sources: Sequence[str] | None = None,
        quiet: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.framing = Framing(sample_rate, n_fft, win_length, hop_length)
        self.noise_atoms = check_int("noise_atoms", noise_atoms, low=0)
        self.problem = Problem.checked(loss, "auto", max_iter, tol, l1, 0.0)
        self.speech_cost = check_penalty("speech_cost", speech_cost)
        if l1 and self.noise_atoms:
            raise UserError(
                "`l1` must be 0 with `noise_atoms`, beside which `speech_cost` "
                f"is the weight, got {l1!r}."
            )
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
        check_dictionary(self.atoms, self.blocks, self.framing.n_fft // 2 + 1)
        self.sources = self._check_sources(sources)

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

    def _check_sources(self, sources: Sequence[str] | None) -> list[str]:
        blocks = self.blocks
        chosen = check_blocks("sources", sources, blocks)
        if chosen is not None:
            return list(dict.fromkeys(chosen))
        kept = [name for name in blocks if name != NOISE]
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
        wavs, samples = check_wavs(wavs, lengths)
        counts = self.framing.count(samples)
        spectrum = self.framing.analyse(wavs)
        if not spectrum.numel():
            names = [NOISE] * bool(self.noise_atoms) + list(self.blocks)
            return {name: wavs.clone() for name in names}
        masks = self._masks(spectrum.abs(), counts)
        real = leading(samples, wavs.shape[1]).to(wavs.device)
        synthesise = self.framing.synthesise
        return {
            name: torch.where(
                real, synthesise(spectrum * mask, counts, wavs), 0.0
            )
            for name, mask in masks.items()
        }

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
                fixed_cost=self.speech_cost,
            )
            parts[NOISE] = H[..., W.shape[1] :] @ learnt.mT
        else:
            valid = leading(counts, V.shape[1]).to(V.device)
            H = V.new_zeros(*V.shape[:2], W.shape[1])
            H[valid], _ = encode_rows(V[valid], W, self.problem)
        for name, columns in self.blocks.items():
            part = H[..., : W.shape[1]][..., columns] @ W[:, columns].T
            parts[name] = part + parts[name] if name in parts else part
        masks = wiener_masks(torch.stack(list(parts.values())), self.mask_power)
        return dict(zip(parts, masks, strict=True))


def _add(parts: dict[str, Tensor], names: list[str]) -> Tensor:
    return torch.stack([parts[name] for name in names]).sum(0)
