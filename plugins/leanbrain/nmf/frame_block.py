"""The work of an encoder: a block of frames, each until it is done."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import Half, Rows, Scratch
from leanbrain.nmf.info import CHECK_EVERY
from leanbrain.nmf.losses.base import least_gain, row_losses
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import penalty_weights, power_of_two
from leanbrain.nmf.solvers.base import EPS, Memory

__all__ = ["FrameBlock"]


class FrameBlock:
    """Some frames, each until it is done; those that are leave the work."""

    def __init__(
        self,
        V: Tensor,
        W: Tensor,
        atoms: Tensor,
        problem: Problem,
        start: Tensor | None,
        scratch: Scratch,
    ) -> None:
        self.problem, self.W, self.scratch = problem, W, scratch
        self.scale = power_of_two(V.amax(1, keepdim=True))
        self.back = self.scale / atoms
        self.V = V / self.scale
        if problem.loss.degree == 0:
            self.V.clamp_min_(EPS)  # log V / WH
        if start is None:
            # With columns of W that sum to one, the sum over F is right.
            level = self.V.sum(1, keepdim=True) / W.shape[1]
            self.H = level.expand(-1, W.shape[1]).clamp_min(EPS)
        else:
            self.H = (start / self.back).clamp_min(EPS)
        self.penalties = penalty_weights(
            problem.loss, problem.l1, problem.l2, self.scale, atoms
        )
        self.units = self.scale.double().squeeze(1) ** problem.loss.degree
        self.level = problem.loss.level(self.V)
        # What is settled goes here; the rest is at work.
        self.done = self.H.clone()
        self.rows = torch.arange(len(V), device=V.device)
        self.frozen = torch.zeros_like(self.rows, dtype=torch.bool)
        self.accepted = self.H
        self.loss = torch.full_like(self.units, torch.inf)
        self.losses: list[float] = []
        self.total = torch.zeros_like(self.units)
        self.memory: Memory = {}
        self.iterations, self.settled = 0, False

    def run(self) -> None:
        """Iterates until every frame is done, or `max_iter`."""
        half = self._half()
        for i in range(1, self.problem.max_iter + 1):
            step = self.problem.solver.step(half, self.H, self.memory)
            self.H = step.clamp_min_(EPS)
            self.iterations = i
            last = i == self.problem.max_iter
            if i % CHECK_EVERY and not last:
                continue
            self._freeze(self._check())
            self.losses.append(float((self.total * self.units).sum()))
            if bool(self.frozen.all()):
                self.settled = True
                break
            # Gathering costs a pass over V: not for a few frames.
            if not last and float(self.frozen.float().mean()) > 0.25:
                self._drop()
                half = self._half()
        self._freeze(torch.ones_like(self.frozen))

    def result(self) -> Tensor:
        """H in the units of the user."""
        return self.done * self.back

    def _half(self) -> Half:
        side = Rows(self.V, self.W, self.scratch)
        return self.problem.loss.half(side, *self.penalties)

    def _check(self) -> Tensor:
        """Undoes rises; returns which frames are done."""
        now, tol = self._losses(), self.problem.tol
        least = least_gain(now, self.level, tol, self.V.dtype)
        rounding = least_gain(now, self.level, 0.0, self.V.dtype)
        gain = self.loss - now
        if self.problem.solver.guarded:
            # Not for rounding: it differs with the rows of a product, and
            # what is restored would differ with what else is in the batch.
            rose = ~(gain >= -rounding)
            if bool(rose.any()):
                self.H = torch.where(rose[:, None], self.accepted, self.H)
                now = torch.where(rose, self.loss, now)
                self.problem.solver.undo(self.memory, rose)
            self.accepted = self.H
        self.loss = now
        live = ~self.frozen
        self.total[self.rows[live]] = now[live]
        return (gain <= least) & (gain >= -rounding) & (tol > 0)

    def _freeze(self, finished: Tensor) -> None:
        """Keeps the result of frames that are done, once and for all.

        Those that stay in the work for a while move on, and their result
        would depend on how many others are done.
        """
        new = finished & ~self.frozen
        self.done[self.rows[new]] = self.H[new]
        self.frozen = self.frozen | finished

    def _losses(self) -> Tensor:
        now = row_losses(
            self.problem.loss, self.V, self.H, self.W, self.scratch
        )
        l1, l2 = self.penalties
        if l1 is not None:
            now = now + (l1 * self.H).sum(1, dtype=torch.float64)
        if l2 is not None:
            now = now + (l2 * self.H.square()).sum(1, dtype=torch.float64) / 2
        return now

    def _drop(self) -> None:
        """Takes the frames that are done out of the work."""
        keep = ~self.frozen
        self.frozen = self.frozen[keep]
        self.rows, self.V, self.H = self.rows[keep], self.V[keep], self.H[keep]
        self.accepted, self.loss = self.accepted[keep], self.loss[keep]
        self.level = self.level[keep]
        self.memory = {name: x[keep] for name, x in self.memory.items()}
        l1, l2 = self.penalties
        self.penalties = _kept(l1, keep), _kept(l2, keep)


def _kept(weights: Tensor | None, keep: Tensor) -> Tensor | None:
    return None if weights is None else weights[keep]
