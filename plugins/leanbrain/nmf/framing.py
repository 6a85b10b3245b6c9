"""Waveforms as short-time spectra, and back, whatever batch they are in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leanbrain.checks import UserError, check_int, check_positive
from leanbrain.nmf.inputs import check_dense, valid_frames

__all__ = ["Framing", "check_wavs", "leading"]


class Framing(nn.Module):
    """Hamming-windowed frames about every `hop_length`-th ms.

    The spectra are those of SpeechBrain's STFT; the inverse is of the real
    frames of each utterance alone.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    n_fft : int
        Samples of an FFT.
    win_length, hop_length : float
        In milliseconds; a hop is at most half a window.

    Example
    -------
    >>> framing = Framing(8000, n_fft=256, win_length=25, hop_length=10)
    >>> wavs = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0))
    >>> spectrum = framing.analyse(wavs)
    >>> spectrum.shape
    torch.Size([2, 51, 129])
    >>> back = framing.synthesise(spectrum, torch.tensor([51, 51]), wavs)
    >>> torch.allclose(back, wavs, atol=1e-5)
    True
    """

    window: Tensor

    def __init__(
        self,
        sample_rate: int,
        n_fft: int,
        win_length: float,
        hop_length: float,
    ) -> None:
        super().__init__()
        self.n_fft = check_int("n_fft", n_fft, low=2)
        rate = check_int("sample_rate", sample_rate, low=1)
        win_ms = check_positive("win_length", win_length)
        hop_ms = check_positive("hop_length", hop_length)
        # As SpeechBrain's STFT rounds them.
        self.win = round(rate / 1000 * win_ms)
        self.hop = round(rate / 1000 * hop_ms)
        if not 2 <= self.win <= self.n_fft:
            raise UserError(
                f"`win_length` must be 2 to n_fft = {self.n_fft} samples, got "
                f"{self.win} ({win_ms:g} ms)."
            )
        if not 1 <= self.hop <= self.win // 2:
            raise UserError(
                "`hop_length` must be at least a sample and at most half of "
                f"`win_length` ({self.win} samples), got {self.hop} samples "
                f"({hop_ms:g} ms)."
            )
        window = torch.hamming_window(self.win, dtype=torch.float64)
        left = (self.n_fft - self.win) // 2
        right = self.n_fft - self.win - left
        window = nn.functional.pad(window, (left, right))
        self.register_buffer("window", window, persistent=False)

    def count(self, samples: Tensor) -> Tensor:
        """Frames of utterances of so many samples, [B]."""
        # T = 1 + samples // hop, as SpeechBrain's STFT; nothing has no frame.
        shift = self.n_fft % 2
        counts = (samples - shift).clamp_min(0) // self.hop + 1
        return torch.where(samples > 0, counts, 0)

    def analyse(self, wavs: Tensor) -> Tensor:
        """Short-time spectra [B, T, F] of waveforms [B, time]."""
        half = self.n_fft // 2
        padded = nn.functional.pad(wavs, (half, half))
        frames = padded.unfold(1, self.n_fft, self.hop)
        if not frames.numel():  # which some FFTs refuse
            empty = frames[..., : self.n_fft // 2 + 1]
            return torch.complex(empty, empty)
        return torch.fft.rfft(frames * self.window.to(wavs))

    def synthesise(
        self, spectrum: Tensor, counts: Tensor, wavs: Tensor
    ) -> Tensor:
        """Least squares inverse of ``analyse`` from the real frames alone.

        torch.istft divides by the windows of the padding's frames as well,
        with which the end of an utterance would depend on the batch.

        Arguments
        ---------
        spectrum : Tensor
            [B, T, F].
        counts : Tensor
            Real frames of each utterance, [B], the first ones.
        wavs : Tensor
            Of the size, the type and the device of the result, [B, time].

        Returns
        -------
        Tensor
            [B, time], 0 where no real frame reaches.
        """
        window = self.window.to(wavs)
        valid = leading(counts, spectrum.shape[1]).to(wavs).unsqueeze(-1)
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


def leading(counts: Tensor, size: int) -> Tensor:
    """The first `counts` of `size`, bool [B, size]."""
    return torch.arange(size, device=counts.device) < counts[:, None]


def check_wavs(wavs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Checks waveforms, and silences their padding.

    Arguments
    ---------
    wavs : Tensor
        [B, time], of a floating type, finite wherever it is no padding.
    lengths : Tensor | None
        Relative lengths, [B].

    Returns
    -------
    wavs : Tensor
        float32, or float64 as given.
    samples : Tensor
        Those of each utterance, [B], on the CPU.

    Raises
    ------
    UserError
        If something is not as said.
    """
    if not torch.is_tensor(wavs) or wavs.dim() != 2:
        got = (
            tuple(wavs.shape) if torch.is_tensor(wavs) else type(wavs).__name__
        )
        raise UserError(f"`wavs` must be a tensor [B, time], got {got}.")
    check_dense("wavs", wavs)
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
        wavs = wavs.masked_fill(~leading(samples, time).to(wavs.device), 0.0)
    if not bool(torch.isfinite(wavs).all()):
        raise UserError(
            "`wavs` must be finite wherever it is no padding, got NaN or "
            "infinity."
        )
    return wavs, samples
