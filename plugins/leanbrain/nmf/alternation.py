"""The alternation between both factors, its guard and its stopping rule."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Columns, Half, Projection, Rows, Scratch
from leanbrain.nmf.info import CHECK_EVERY, Info
from leanbrain.nmf.losses.base import least_gain, row_losses
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import power_of_two
from leanbrain.nmf.solvers.base import EPS, Memory, Solver
from leanbrain.nmf.solvers.mu import MU
from leanbrain.threads import Threads

__all__ = ["Alternation"]


class Alternation:
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
        self.level = problem.loss.level(self.V).sum().cpu()
        self.accepted = (self.W, self.H)

    def run(self, threads: Threads) -> None:
        """Iterates until the loss stands still, or `max_iter`.

        Arguments
        ---------
        threads : Threads
            Entered; they are limited anew as the machine fills and empties.
        """
        solver, warm = self.problem.solver, MU()
        warm.inner = solver.inner
        for i in range(1, self.problem.max_iter + 1):
            if i % CHECK_EVERY == 0:
                threads.look()
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
            # The published KL code makes all steps in its first iteration.
            whole = self.problem.loss.w_first and i == solver.warmup + 1
            X = self._steps(half, X, solver, 0.0 if whole else solver.delta)
            if side is Rows:
                self.H = X
            else:
                self.W = X

    def _steps(
        self, half: Half, X: Tensor, solver: Solver, delta: float
    ) -> Tensor:
        """The inner steps on one factor, fewer if they hardly move it."""
        memory = self.memories[type(half.side)]
        first = 0.0
        for inner in range(solver.inner):
            new = solver.step(half, X, memory).clamp_min(EPS)
            move = float((new - X).square().sum()) if delta else 0.0
            X = new
            if not inner:
                first = move
            elif move < delta * first:
                break
        return X

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
        least = least_gain(
            torch.tensor(now, dtype=torch.float64),
            self.level,
            self.problem.tol,
            self.V.dtype,
        )
        return self.problem.tol > 0 and gain <= float(least) and not rose

    def _total(self) -> float:
        """The loss with penalties, in float64."""
        rows = row_losses(
            self.problem.loss, self.V, self.H, self.W, self.scratch
        )
        atoms, H = self.W.sum(0).double(), self.H.double()
        total = rows.sum() + self.l1 * (H.sum(0) * atoms).sum()
        power = (H.square().sum(0) * atoms.square()).sum()
        return float(total + self.l2 * power / 2)
