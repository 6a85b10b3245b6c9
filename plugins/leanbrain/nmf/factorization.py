"""Dictionary and activations learnt together."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int
from leanbrain.nmf.alternation import Alternation
from leanbrain.nmf.half import threads_for
from leanbrain.nmf.info import Info
from leanbrain.nmf.inputs import Frames, check_factor, pack
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import power_of_two
from leanbrain.nmf.solvers import AUTO_LEARN
from leanbrain.nmf.solvers.base import Solver

__all__ = ["nmf"]


def nmf(
    V: Tensor,
    rank: int,
    *,
    loss: str = "kl",
    solver: str | Solver = "auto",
    max_iter: int = 200,
    tol: float = 1e-4,
    init: tuple[Tensor, Tensor] | None = None,
    lengths: Tensor | None = None,
    generator: torch.Generator | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
) -> tuple[Tensor, Tensor, Info]:
    """Factors non-negative spectra: V ~ W H.

    Arguments
    ---------
    V : Tensor
        Spectra, [F, T], or a batch [B, T, F]; finite and >= 0.
    rank : int
        K, the number of atoms; may exceed F.
    loss : str
        "kl", "frobenius" or "is" (see ``encode``).
    solver : str | Solver
        "auto": multiplicative updates first, then for KL accelerated ones,
        for Frobenius accelerated "hals", with a guard that undoes a rise of
        the loss; for "is" multiplicative updates.
        Also "mu", "fastmu", "musom", "bmme", "hals", or an object.
    max_iter : int
        Most iterations, each of W and H.
    tol : float
        Ends when 10 iterations lower the loss by less than this share; 0
        makes exactly `max_iter` iterations.
    init : tuple | None
        W [F, K] and H of H's shape; None draws both from U(0, 1) and scales
        H so that every frame's level is right.
    lengths : Tensor | None
        Relative lengths of a batch, [B].
    generator : torch.Generator | None
        Where the start is drawn from, on the CPU whatever V's device; None
        is a generator with seed 0. The global generator is left alone.
    l1, l2 : float
        Weights of sum(H) and of sum(H ** 2) / 2, for columns of W that sum
        to one; see ``encode``.

    Returns
    -------
    W : Tensor
        [F, K], columns sum to one.
    H : Tensor
        [K, T], or [B, T, K] of a batch.
    info : Info
        Iterations, losses and why it stopped.

    Raises
    ------
    UserError
        If an argument is not as said, or there is no frame.

    Example
    -------
    >>> generator = torch.Generator().manual_seed(0)
    >>> V = torch.rand(6, 2, generator=generator) @ torch.rand(2, 9)
    >>> W, H, info = nmf(V, rank=2, max_iter=500, tol=0)
    >>> bool((W @ H - V).abs().max() < 0.02)
    True
    """
    frames = pack(V, lengths)
    rank = check_int("rank", rank, low=1)
    problem = Problem.checked(
        loss, solver, max_iter, tol, l1, l2, auto=AUTO_LEARN
    )
    if not len(frames.rows):
        raise UserError(
            "`V` must have at least one real frame to learn from, got "
            f"{tuple(V.shape)} with none."
        )
    autocast = torch.autocast(V.device.type, enabled=False)
    with torch.no_grad(), autocast, threads_for(frames.rows, rank) as threads:
        start = _start(frames, rank, init, generator)
        work = Alternation(frames.rows, *start, problem)
        work.run(threads)
        W, H = work.result()
        return W, frames.unpack(H), work.info


def _start(
    frames: Frames,
    rank: int,
    init: tuple[Tensor, Tensor] | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """W [F, K] and H [N, K] to start from."""
    V = frames.rows
    if init is not None:
        if not isinstance(init, tuple | list) or len(init) != 2:
            raise UserError(
                f"`init` must be a pair of W and H, got {type(init).__name__}."
            )
        shape: tuple[int, ...] = (rank, frames.shape[1])
        if len(frames.shape) == 3:
            shape = (*frames.shape[:2], rank)
        W = check_factor("init[0]", init[0], (V.shape[1], rank)).to(V)
        H = check_factor("init[1]", init[1], shape).to(V)
        return W.clone(), frames.pack(H)
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    # Drawn in float64 on the CPU: the same start for every type and device.
    W, H = (
        torch.rand(n, rank, generator=generator, dtype=torch.float64).to(V)
        for n in (V.shape[1], len(V))
    )
    # The sum over bins of what is near the largest number is infinite.
    scale = power_of_two(V.max())
    level = (V / scale).sum(1, keepdim=True) / (H @ W.sum(0)).unsqueeze(1)
    return W, H * level * scale
