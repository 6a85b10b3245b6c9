"""Sources of a mixture: some atoms known, the others learnt from it alone.

Semi-supervised NMF (Smaragdis, Raj and Shashanka, ICA 2007): the dictionary
of the speech is fixed, atoms of the noise are learnt on the noisy recording.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.nmf.info import Info
from leanbrain.nmf.inputs import check_atoms, check_penalty
from leanbrain.nmf.mixtures import Mixtures
from leanbrain.nmf.problem import Problem

__all__ = ["semi_supervised"]

# Elements of V of the utterances that are worked on together: on a CPU short
# ones four times as fast as one by one, while all matrices stay in the cache.
GROUP_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}


@torch.no_grad()
def semi_supervised(
    V: Tensor,
    W: Tensor,
    n_atoms: int,
    problem: Problem,
    *,
    counts: Tensor | None = None,
    generator: torch.Generator | None = None,
    quiet: float = 1.0,
    fixed_cost: float = 0.0,
) -> tuple[Tensor, Tensor, Info]:
    """Learns further atoms on each item of a batch beside fixed ones.

    Multiplicative updates, with which the loss does not rise: of the new
    atoms, then of all activations; the loss is that of the frames that the
    atoms are learnt from. Items are independent problems; each stops
    by its own progress.

    Arguments
    ---------
    V : Tensor
        Spectra [B, T, F], finite and >= 0 in the real frames.
    W : Tensor
        Fixed atoms [F, K], >= 0, no column all zero.
    n_atoms : int
        How many atoms to learn on each item, >= 1.
    problem : Problem
        Loss and limits; its solver is not used, `l1` and `l2` must be 0.
    counts : Tensor | None
        Real frames of each item, [B], the first ones; None: all.
    generator : torch.Generator | None
        Of the start, on the CPU, drawn once for all items; None: seed 0.
    quiet : float
        Share of frames, those of least level, that the new atoms are learnt
        from, in (0, 1]. With all, they learn what the loudest source does.
    fixed_cost : float
        Weight of the sum of the fixed atoms' activations, >= 0: how much
        cheaper it is to explain a frame by the new atoms. It makes nothing
        sparse; it divides mixtures.

    Returns
    -------
    H : Tensor
        [B, T, K + n_atoms], 0 in the padding.
    learnt : Tensor
        [B, F, n_atoms], columns sum to one.
    info : Info
        Of all items together.

    Raises
    ------
    UserError
        If W does not fit V or has a column of zeros, or a penalty is not 0.

    Example
    -------
    >>> W = torch.tensor([[1.0], [0.0], [0.0]])
    >>> V = torch.tensor([[[2.0, 1.0, 3.0], [4.0, 2.0, 6.0]]])
    >>> problem = Problem.checked("kl", "mu", 500, 0.0, 0.0, 0.0)
    >>> H, learnt, _ = semi_supervised(V, W, 1, problem)
    >>> torch.allclose(H[:, :, 1:] @ learnt.mT + H[:, :, :1] @ W.T, V)
    True
    """
    n_atoms = check_int("n_atoms", n_atoms, low=1)
    quiet = check_fraction("quiet", quiet, low_open=True)
    if V.dim() != 3:
        raise UserError(f"`V` must be a batch [B, T, F], got {tuple(V.shape)}.")
    W = check_atoms("W", W, V.shape[2]).to(V)
    fixed_cost = check_penalty("fixed_cost", fixed_cost)
    for name in ("l1", "l2"):
        if getattr(problem, name):
            raise UserError(
                f"`{name}` must be 0 where atoms are learnt on a mixture, got "
                f"{getattr(problem, name)!r}."
            )
    if counts is None:
        counts = torch.full((len(V),), V.shape[1])
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    # In float64 on the CPU: the same start for every type and device.
    size = (V.shape[2], n_atoms)
    draw = torch.rand(size, generator=generator, dtype=torch.float64).to(V)
    H = V.new_zeros(*V.shape[:2], W.shape[1] + n_atoms)
    learnt = draw.div(draw.sum(0)).repeat(len(V), 1, 1)
    parts = []
    with torch.autocast(V.device.type, enabled=False):
        for group in _groups(counts.cpu(), V):
            frames = int(counts[group[0]])
            group, part_counts = group.to(V.device), counts[group].to(V.device)
            part = Mixtures(
                V[group, :frames],
                W,
                draw,
                problem,
                part_counts,
                quiet,
                fixed_cost,
            )
            part.run()
            H[group, :frames], learnt[group] = part.result()
            parts.append(part)
    return H, learnt, Info.of_parts(parts)


def _groups(counts: Tensor, V: Tensor) -> list[Tensor]:
    """Items of similar length, longest first; none without frames."""
    limit = GROUP_ELEMENTS.get(V.device.type, GROUP_ELEMENTS["cuda"])
    order = counts.argsort(descending=True, stable=True)
    order = order[counts[order] > 0]
    groups = []
    while len(order):
        fit = max(1, limit // (int(counts[order[0]]) * V.shape[2]))
        groups.append(order[:fit])
        order = order[fit:]
    return groups
