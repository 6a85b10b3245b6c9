"""Activations of spectra with a fixed dictionary."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.frame_block import FrameBlock
from leanbrain.nmf.half import Scratch, block_rows, blocks, threads_for
from leanbrain.nmf.info import Info
from leanbrain.nmf.inputs import check_atoms, check_factor, pack
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.solvers.base import EPS, Solver

__all__ = ["encode", "encode_rows"]


def encode(
    V: Tensor,
    W: Tensor,
    *,
    loss: str = "kl",
    solver: str | Solver = "auto",
    max_iter: int = 100,
    tol: float = 1e-4,
    init: Tensor | None = None,
    lengths: Tensor | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
) -> tuple[Tensor, Info]:
    """Finds H >= 0 with V ~ W H for a fixed dictionary W.

    Frames are independent problems and are solved as such: each is scaled by
    its own level and stops by its own progress, so that the result does not
    depend on what else is in the batch. No gradient flows; see
    ``leanbrain.nmf.unrolled`` for one that does.

    Arguments
    ---------
    V : Tensor
        Spectra, [F, T], or a batch [B, T, F]; finite and >= 0.
    W : Tensor
        Dictionary [F, K], >= 0; no column may be all zero.
    loss : str
        "kl" (of magnitudes; the default for speech), "frobenius", or "is"
        (Itakura-Saito, of powers; V = 0 is taken as the floor).
    solver : str | Solver
        "auto" is accelerated multiplicative updates with a guard for KL,
        "hals" for Frobenius, "mu" for "is". The guard undoes a rise of a
        frame's loss; that from 10 iterations on no frame is behind "mu" is
        measured, not proved.
    max_iter : int
        Most iterations of a frame.
    tol : float
        A frame is done when 10 iterations lower its loss by less than this
        share. 0 makes exactly `max_iter` iterations.
    init : Tensor | None
        Start, of H's shape; None starts flat.
    lengths : Tensor | None
        Relative lengths of a batch, [B]; H is 0 in the padding, whatever V
        holds there.
    l1, l2 : float
        Weights of sum(H) and of sum(H ** 2) / 2, added to the loss. `l1`
        makes activations sparse with loss="frobenius"; with "is" it makes
        them smaller and no sparser; with "kl" it would only rescale them,
        and must be 0.

    Returns
    -------
    H : Tensor
        [K, T], or [B, T, K] of a batch; of V's type and device.
    info : Info
        Iterations, losses and why it stopped.

    Raises
    ------
    UserError
        If an argument is not as said.

    Example
    -------
    >>> W = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> H = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    >>> found, info = encode(W @ H, W)
    >>> torch.allclose(found, H, atol=1e-3)
    True
    """
    frames = pack(V, lengths)
    rows = frames.rows
    W = check_atoms("W", W, rows.shape[1]).to(rows)
    start = None
    if init is not None:
        shape = (*frames.shape[:2], W.shape[1])
        shape = shape if len(frames.shape) == 3 else (W.shape[1], V.shape[1])
        start = frames.pack(check_factor("init", init, shape).to(rows))
    problem = Problem.checked(loss, solver, max_iter, tol, l1, l2)
    H, info = encode_rows(rows, W, problem, start)
    return frames.unpack(H), info


@torch.no_grad()
def encode_rows(
    V: Tensor, W: Tensor, problem: Problem, start: Tensor | None = None
) -> tuple[Tensor, Info]:
    """As ``encode``, of checked rows: V [N, F] gives H [N, K].

    Arguments
    ---------
    V : Tensor
        Frames as rows, finite and >= 0.
    W : Tensor
        Dictionary [F, K] without a column of zeros.
    problem : Problem
        Loss, solver and limits.
    start : Tensor | None
        H to start from, [N, K].

    Returns
    -------
    H : Tensor
        [N, K].
    info : Info
        Of all frames together.
    """
    atoms = W.sum(0, keepdim=True)
    W = (W / atoms).clamp_min(EPS)
    H = V.new_empty(len(V), W.shape[1])
    parts = []
    scratch = Scratch(V)
    autocast = torch.autocast(V.device.type, enabled=False)
    with autocast, threads_for(V, W.shape[1]) as threads:
        for block in blocks(V, block_rows(V)):
            threads.look()
            first = None if start is None else start[block]
            part = FrameBlock(V[block], W, atoms, problem, first, scratch)
            part.run()
            H[block] = part.result()
            parts.append(part)
    return H, Info.of_parts(parts)
