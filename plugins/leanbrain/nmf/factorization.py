"""Dictionary and activations learnt together."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int
from leanbrain.nmf.half import Columns, Half, Projection, Rows, Scratch
from leanbrain.nmf.info import CHECK_EVERY, Info
from leanbrain.nmf.inputs import Frames, check_factor, pack
from leanbrain.nmf.losses.base import row_losses
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import power_of_two
from leanbrain.nmf.solvers import AUTO_LEARN
from leanbrain.nmf.solvers.base import EPS, Memory, Solver
from leanbrain.nmf.solvers.mu import MU

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
        "auto": multiplicative updates first, then for KL accelerated ones
        with a guard that undoes a rise of the loss, for Frobenius "fastmu".
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
        to one.

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
    start = _start(frames, rank, init, generator)
    with torch.no_grad(), torch.autocast(V.device.type, enabled=False):
        work = _Factorization(frames.rows, *start, problem)
        work.run()
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
    level = V.sum(1, keepdim=True) / (H @ W.sum(0)).unsqueeze(1)
    return W, H * level


class _Factorization:
    """The alternation, its guard and its stopping rule."""

    def __init__(
        self, V: Tensor, W: Tensor, H: Tensor, problem: Problem
    ) -> None:
        self.problem = problem
        self.scale = power_of_two(V.max())
        self.V = V / self.scale
        if problem.loss.degree == 0:
            self.V.clamp_min_(EPS)
        self.W, self.H = W.clamp_min(EPS), (H / self.scale).clamp_min(EPS)
        degree = problem.loss.degree
        self.l1 = problem.l1 * float(self.scale) ** (1 - degree)
        self.l2 = problem.l2 * float(self.scale) ** (2 - degree)
        self.scratch = Scratch(V)
        self.memories: dict[type[Projection], Memory] = {Rows: {}, Columns: {}}
        self.info = Info()
        self.loss = float("inf")
        self.accepted = (self.W, self.H)

    def run(self) -> None:
        """Iterates until the loss stands still, or `max_iter`."""
        solver, warm = self.problem.solver, MU()
        warm.inner = solver.inner
        for i in range(1, self.problem.max_iter + 1):
            self._iterate(warm if i <= solver.warmup else solver, i)
            self.info.iterations = i
            last = i == self.problem.max_iter
            if (i % CHECK_EVERY == 0 or last) and self._check():
                self.info.reason = "tol"
                return

    def result(self) -> tuple[Tensor, Tensor]:
        """Both factors; the columns of W sum to one."""
        atoms = self.W.sum(0, keepdim=True)
        return self.W / atoms, self.H * atoms * self.scale

    def _iterate(self, solver: Solver, i: int) -> None:
        """Both factors once, in the published order."""
        sides: list[type[Projection]] = [Rows, Columns]
        for side in sides[::-1] if self.problem.loss.w_first else sides:
            half = self._half(side)
            X = self.H if side is Rows else self.W
            first = 0.0
            for inner in range(solver.inner):
                step = solver.step(half, X, self.memories[side])
                new = step.clamp_min(EPS)
                if inner + 1 < solver.inner and solver.delta > 0:
                    move = float((new - X).square().sum())
                    first = first if inner else move
                    if inner and move < solver.delta * first:
                        X = new
                        break
                X = new
            if side is Rows:
                self.H = X
            else:
                self.W = X

    def _half(self, side: type[Projection]) -> Half:
        """The problem in one factor, penalties in a form free of scale.

        With c the column sums of W the penalties are l1 * sum_k c_k sum_t
        H_kt and l2 / 2 * sum_k c_k ** 2 sum_t H_kt ** 2 (compare Le Roux et
        al., Sparse NMF - half-baked or well done?, 2015).
        """
        moving = side(self.V, self.W if side is Rows else self.H, self.scratch)
        if not (self.l1 or self.l2):
            return self.problem.loss.half(moving, None, None)
        atoms = self.W.sum(0, keepdim=True)
        if side is Rows:
            l1, l2 = self.l1 * atoms, self.l2 * atoms.square()
        else:
            l1 = self.l1 * self.H.sum(0, keepdim=True)
            # Jensen's bound of c ** 2 at the present W, entry by entry.
            power = self.H.square().sum(0, keepdim=True)
            l2 = self.l2 * power * atoms / self.W
        return self.problem.loss.half(
            moving, l1 if self.l1 else None, l2 if self.l2 else None
        )

    def _check(self) -> bool:
        """Undoes a rise; returns whether the loss stands still."""
        now, rose = self._total(), False
        solver = self.problem.solver
        if solver.guarded and not now <= self.loss:
            rose, now = True, self.loss
            self.W, self.H = self.accepted
            for memory, X in (
                (self.memories[Rows], self.H),
                (self.memories[Columns], self.W),
            ):
                if memory:
                    every = torch.ones_like(X[:, 0], dtype=torch.bool)
                    solver.undo(memory, every)
        self.accepted = (self.W, self.H)
        gain, self.loss = self.loss - now, now
        degree = self.problem.loss.degree
        self.info.losses.append(now * float(self.scale) ** degree)
        noise = 16 * torch.finfo(self.V.dtype).eps * float(self.V.sum())
        still = gain <= self.problem.tol * max(abs(now), noise)
        return self.problem.tol > 0 and still and not rose

    def _total(self) -> float:
        """The loss with penalties, in float64."""
        rows = row_losses(
            self.problem.loss, self.V, self.H, self.W, self.scratch
        )
        atoms, H = self.W.sum(0).double(), self.H.double()
        total = rows.sum() + self.l1 * (H.sum(0) * atoms).sum()
        power = (H.square().sum(0) * atoms.square()).sum()
        return float(total + self.l2 * power / 2)
