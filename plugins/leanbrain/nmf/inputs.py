"""What users pass in: checks, and packing of batches into rows of frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leanbrain.checks import UserError

__all__ = [
    "Frames",
    "check_atoms",
    "check_dense",
    "check_factor",
    "check_penalty",
    "pack",
    "valid_frames",
]

# SpeechBrain's masks count a frame as real when its index is below length *
# frames by more than this,
LENGTH_MARGIN = 1e-6
# and so, now and then, one too many: n / frames in float32, times frames, may
# exceed n by this share of `frames`. That frame may be NaN.
LENGTH_ROUNDING = 2.0**-23


@dataclass
class Frames:
    """Spectra as rows of real frames, and the way back.

    Arguments
    ---------
    rows : Tensor
        Real frames, [N, F], float32 or float64, contiguous.
    shape : tuple of int
        Of what was given: (F, T), or (B, T, F).
    valid : Tensor | None
        Which frames of a batch are real, bool [B, T]; None: all.
    """

    rows: Tensor
    shape: tuple[int, ...]
    valid: Tensor | None

    def unpack(self, H: Tensor) -> Tensor:
        """Activations [N, K] in the layout of the input; padding is 0."""
        if len(self.shape) == 2:
            return H.T.contiguous()
        if self.valid is None:
            return H.reshape(*self.shape[:2], H.shape[1])
        out = H.new_zeros(*self.shape[:2], H.shape[1])
        out[self.valid] = H
        return out

    def pack(self, H: Tensor) -> Tensor:
        """Activations in the layout of the input as rows [N, K], a copy."""
        if len(self.shape) == 2:
            return H.T.contiguous().clone()
        return (
            H.flatten(0, 1) if self.valid is None else H[self.valid]
        ).clone()


def pack(V: Tensor, lengths: Tensor | None = None) -> Frames:
    """Checks spectra and gathers their real frames.

    Arguments
    ---------
    V : Tensor
        [F, T], or a batch [B, T, F]; finite and >= 0 wherever it is real.
    lengths : Tensor | None
        Share of each item of the batch that is real, [B], in [0, 1].

    Returns
    -------
    Frames
        Real frames as rows. Half precision becomes float32.

    Raises
    ------
    UserError
        If the shape, the type, a value or a length is not as said.

    Example
    -------
    >>> pack(torch.ones(2, 4, 3), torch.tensor([1.0, 0.5])).rows.shape
    torch.Size([6, 3])
    """
    if not torch.is_tensor(V) or V.dim() not in (2, 3):
        got = tuple(V.shape) if torch.is_tensor(V) else type(V).__name__
        raise UserError(
            f"`V` must be a tensor [F, T] or a batch [B, T, F], got {got}."
        )
    check_dense("V", V)
    if not V.is_floating_point():
        raise UserError(f"`V` must be of a floating type, got {V.dtype}.")
    if V.dtype in (torch.float16, torch.bfloat16):
        V = V.float()
    bins = V.shape[-1] if V.dim() == 3 else V.shape[0]
    if bins == 0:
        raise UserError(
            f"`V` must have at least one frequency bin, got {tuple(V.shape)}."
        )
    valid = None
    if V.dim() == 2:
        if lengths is not None:
            raise UserError(
                "`lengths` must be None unless `V` is a batch [B, T, F], got "
                f"`V` of shape {tuple(V.shape)}."
            )
        rows = V.T.contiguous()
    elif lengths is None:
        rows = V.flatten(0, 1).contiguous()
    else:
        valid = valid_frames(lengths, V.shape[0], V.shape[1]).to(V.device)
        rows = V[valid]
    _check_values(rows)
    return Frames(rows, tuple(V.shape), valid)


def valid_frames(lengths: Tensor, batch: int, frames: int) -> Tensor:
    """Which frames of a padded batch are real.

    Arguments
    ---------
    lengths : Tensor
        Relative lengths, [B], in [0, 1].
    batch, frames : int
        B and T.

    Returns
    -------
    Tensor
        bool [B, T], as SpeechBrain's masks have it.

    Raises
    ------
    UserError
        If there are not B lengths, or one is not in [0, 1].

    Example
    -------
    >>> valid_frames(torch.tensor([0.5, 1.0]), 2, 2)
    tensor([[ True, False],
            [ True,  True]])
    """
    lengths = torch.as_tensor(lengths)
    if lengths.shape != (batch,):
        raise UserError(
            f"`lengths` must be of shape [{batch}], a number per item of the "
            f"batch, got {tuple(lengths.shape)}."
        )
    check_dense("lengths", lengths)
    lengths = lengths.detach().to(torch.float64)
    inside = (lengths >= 0) & (lengths <= 1)
    if not bool(inside.all()):
        got = lengths[~inside][0].item()
        raise UserError(
            f"`lengths` must be relative, each in [0, 1], got {got:g}."
        )
    index = torch.arange(frames, device=lengths.device)
    margin = LENGTH_MARGIN + LENGTH_ROUNDING * frames
    return index < (lengths * frames - margin).unsqueeze(1)


def _check_values(rows: Tensor) -> None:
    """NaN, infinity and negative numbers, by one pass over the data."""
    if not rows.numel():
        return
    low, high = (float(x) for x in rows.detach().aminmax())
    # Both are NaN if any element is.
    if math.isnan(low) or math.isinf(high) or math.isinf(low):
        raise UserError(
            "`V` must be finite wherever it is no padding, got "
            f"{'NaN' if math.isnan(low) else 'infinity'}."
        )
    if low < 0:
        raise UserError(
            f"`V` must be >= 0 (magnitudes or powers, no logarithms), "
            f"got {low:g}."
        )


def check_dense(name: str, tensor: Tensor) -> None:
    """Refuses tensors without values, and sparse ones.

    Too few operations know the latter.

    Arguments
    ---------
    name : str
        The argument's name.
    tensor : Tensor
        What was given.

    Raises
    ------
    UserError
        If it is sparse, nested, or on the meta device.
    """
    if tensor.is_meta:
        raise UserError(
            f"`{name}` must hold values, got a tensor on the meta device, "
            "which has a shape only."
        )
    if tensor.layout != torch.strided:
        raise UserError(
            f"`{name}` must be a dense tensor (`to_dense()` makes one), got "
            f"one of layout {str(tensor.layout).removeprefix('torch.')}."
        )


def check_factor(name: str, factor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Checks W, H or a start for them.

    Arguments
    ---------
    name : str
        The argument's name.
    factor : Tensor
        What was given.
    shape : tuple of int
        What it must be; -1 allows any size >= 1.

    Returns
    -------
    Tensor
        The factor, detached.

    Raises
    ------
    UserError
        If shape or values are wrong.
    """
    wanted = ", ".join("K" if n == -1 else str(n) for n in shape)
    good = torch.is_tensor(factor) and factor.dim() == len(shape)
    good = good and all(
        n == m or (n == -1 and m > 0)
        for n, m in zip(shape, factor.shape, strict=True)
    )
    if not good:
        got = tuple(getattr(factor, "shape", ())) or type(factor).__name__
        raise UserError(
            f"`{name}` must be a tensor of shape [{wanted}], got {got}."
        )
    check_dense(name, factor)
    factor = factor.detach()
    if factor.numel() and not bool(
        (torch.isfinite(factor) & (factor >= 0)).all()
    ):
        raise UserError(
            f"`{name}` must be finite and >= 0, got "
            f"{'negative' if bool((factor < 0).any()) else 'non-finite'} "
            "values."
        )
    return factor


def check_atoms(name: str, atoms: Tensor, bins: int) -> Tensor:
    """Checks a dictionary: shape [F, K], values, and no column of zeros.

    Arguments
    ---------
    name : str
        The argument's name.
    atoms : Tensor
        What was given.
    bins : int
        F of the spectra.

    Returns
    -------
    Tensor
        The dictionary, detached.

    Raises
    ------
    UserError
        If it is not as said.
    """
    atoms = check_factor(name, atoms, (bins, -1))
    empty = int((atoms.sum(0) == 0).sum())
    if empty:
        raise UserError(
            f"`{name}` must have no column of zeros (an atom that can explain "
            f"nothing), got {empty} of them."
        )
    return atoms


def check_penalty(name: str, value: float) -> float:
    """Checks the weight of a penalty: a finite number >= 0."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value < 0
    ):
        raise UserError(
            f"`{name}` must be a finite number >= 0, got {value!r}."
        )
    return float(value)
