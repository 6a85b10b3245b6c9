"""Where atoms come from: frames of speech, smoothed."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.solvers.base import EPS
from leanbrain.nmf.statistics import sum_to_one

__all__ = ["atoms_from_frames", "balanced", "draw_frames", "generator_for"]

# Share of the mean spectrum in an atom made of one frame: entries that are
# zero by chance would grow back slowly.
SMOOTH = 0.05


def generator_for(seed: int, step: int) -> torch.Generator:
    """A generator of its own for every step: nothing of it must be saved."""
    mixed = (seed * 1_000_003 + step) * 0x9E3779B97F4A7C15 % 2**63
    return torch.Generator().manual_seed(mixed)


def draw_frames(
    weights: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Draws frames, without replacement as long as there are enough.

    Arguments
    ---------
    weights : Tensor
        One per frame, [N], >= 0; not all of them 0.
    count : int
        How many to draw.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Tensor
        Indices, [count].
    """
    weights = weights.double().cpu()
    enough = int((weights > 0).sum()) >= count
    picked = torch.multinomial(
        weights, count, replacement=not enough, generator=generator
    )
    return picked


def atoms_from_frames(
    rows: Tensor, picked: Tensor, generator: torch.Generator
) -> Tensor:
    """Atoms made of frames of a batch.

    Arguments
    ---------
    rows : Tensor
        Frames, [N, F], none of them silent.
    picked : Tensor
        Which to take, [K].
    generator : torch.Generator
        Draws a jitter, so that no two atoms are equal and stay so.

    Returns
    -------
    Tensor
        [F, K], columns sum to one.
    """
    frames, _ = sum_to_one(rows[picked.to(rows.device)].T)
    mean, _ = sum_to_one(rows.sum(0)[:, None])
    jitter = torch.rand(
        frames.shape[1], frames.shape[0], generator=generator
    ).T.to(rows)
    mixed = (1 - SMOOTH) * frames + SMOOTH * mean * (0.5 + jitter)
    return sum_to_one(mixed.clamp_min(EPS))[0]


def balanced(V: Tensor, valid: Tensor | None) -> Tensor:
    """Real frames of utterances, each scaled to the same mean level.

    How loud a recording is says nothing about how much it matters, but with
    the KL loss it would weigh in proportion, with least squares by its
    square. So the mean frame of every utterance is made to sum to one. Within
    an utterance frames keep their levels: pauses shall weigh little.

    Arguments
    ---------
    V : Tensor
        [B, T, F], finite and >= 0 where it is real.
    valid : Tensor | None
        Which frames are real, bool [B, T]; None: all.

    Returns
    -------
    Tensor
        Rows [N, F]; silent frames are left out.
    """
    if valid is None:
        valid = V.new_ones(V.shape[:2], dtype=torch.bool)
    level = torch.where(valid, V.sum(2), 0.0)
    mean = level.sum(1) / valid.sum(1).clamp_min(1)
    keep = level > 0
    rows = V / torch.where(mean > 0, mean, 1.0)[:, None, None]
    return rows[keep]
