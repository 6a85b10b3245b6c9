"""Mixtures that are explained together, by fixed and by learnt atoms."""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.nmf.half import threads_for
from leanbrain.nmf.info import CHECK_EVERY
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import penalty_weights, power_of_two
from leanbrain.nmf.solvers.base import EPS

__all__ = ["Mixtures"]


class Mixtures:
    """Items that are updated together until each is done.

    Arguments
    ---------
    V : Tensor
        Spectra [B, T, F]; what lies beyond `counts` may be anything.
    W : Tensor
        Fixed atoms [F, K], no column all zero.
    draw : Tensor
        Random numbers in [0, 1), [F, n], that the n learnt atoms start from.
    problem : Problem
        Loss and limits.
    counts : Tensor
        Real frames of each item, [B], at least one.
    quiet : float
        Share of frames, the quietest, that the new atoms are learnt from.
    fixed_cost : float
        Weight of the sum of the fixed atoms' activations.
    """

    def __init__(
        self,
        V: Tensor,
        W: Tensor,
        draw: Tensor,
        problem: Problem,
        counts: Tensor,
        quiet: float,
        fixed_cost: float,
    ) -> None:
        self.problem, self.loss = problem, problem.loss
        atoms = W.sum(0, keepdim=True)
        self.W = (W / atoms).clamp_min(EPS)
        index = torch.arange(V.shape[1], device=V.device)
        self.real = (index < counts[:, None]).unsqueeze(-1)
        self.valid = self.real
        V = torch.where(self.valid, V, 0.0)
        self.scale = power_of_two(V.amax((1, 2), keepdim=True))
        self.back = self.scale / atoms
        self.V = V / self.scale
        self.weights = _quietest(self.V, counts, quiet).to(V)
        self.N = _start_atoms(self.V, draw, self.weights)
        if self.loss.degree == 0:
            self.V.clamp_min_(EPS)
        level = self.V.sum(2, keepdim=True) / (W.shape[1] + draw.shape[1])
        level = level.clamp_min(EPS)
        self.S = level.expand(-1, -1, W.shape[1]).contiguous()
        self.H = level.expand(-1, -1, draw.shape[1]).contiguous()
        self.cost, _ = penalty_weights(
            self.loss, fixed_cost, 0.0, self.scale, atoms
        )
        units = self.scale.double().flatten() ** self.loss.degree
        self.units = units
        self.items = torch.arange(len(V), device=V.device)
        self.last = torch.full_like(units, torch.inf)
        self.total = torch.zeros_like(units)
        self.done = (self.S.clone(), self.H.clone(), self.N.clone())
        self.losses: list[float] = []
        self.iterations, self.settled = 0, False

    def run(self) -> None:
        """Iterates until every item is done, or `max_iter`."""
        with threads_for(self.V, self.S.shape[2] + self.H.shape[2]):
            self._run()

    def _run(self) -> None:
        known = self.S @ self.W.T
        for i in range(1, self.problem.max_iter + 1):
            self._update_atoms(known)
            known = self._update_activations(known)
            self.iterations = i
            last = i == self.problem.max_iter
            if i % CHECK_EVERY and not last:
                continue
            finished = self._check(known)
            if bool(finished.all()):
                self.settled = True
                break
            if bool(finished.any()) and not last:
                known = known[~finished]
                self._drop(~finished)
        self._store()

    def result(self) -> tuple[Tensor, Tensor]:
        """All activations in the units of the user, and the atoms learnt."""
        S, H, N = self.done
        sums = N.sum(1, keepdim=True)
        H = torch.cat([S * self.back, H * sums * self.scale], dim=2)
        return torch.where(self.real, H, 0.0), N / sums

    def _update_atoms(self, known: Tensor) -> None:
        """The learnt atoms, from frames of weight one."""
        neg, pos = self._pull(known)
        H = self.weights * self.H
        down = H.sum(1, keepdim=True) if pos is None else pos.mT @ H
        self.N = self._step(self.N, neg.mT @ H, down)

    def _update_activations(self, known: Tensor) -> Tensor:
        """Those of all atoms; returns the spectra of the fixed ones."""
        neg, pos = self._pull(known)
        if pos is None:
            fixed, free = self.W.sum(0), self.N.sum(1, keepdim=True)
        else:
            fixed, free = pos @ self.W, pos @ self.N
        fixed = fixed if self.cost is None else fixed + self.cost
        self.S = self._step(self.S, neg @ self.W, fixed)
        self.H = self._step(self.H, neg @ self.N, free)
        return self.S @ self.W.T

    def _pull(self, known: Tensor) -> tuple[Tensor, Tensor | None]:
        """The gradient in P, split: V P^(d-2) and P^(d-1); None is ones."""
        P = torch.baddbmm(known, self.H, self.N.mT)
        if self.loss.degree == 2:
            return self.V, P
        if self.loss.degree == 1:
            return torch.div(self.V, P, out=P), None
        # V / P first: a square of P would underflow.
        return self.V / P / P, P.reciprocal()

    def _step(self, X: Tensor, neg: Tensor, pos: Tensor) -> Tensor:
        ratio = neg / pos
        if self.loss.power != 1.0:
            ratio = ratio.pow(self.loss.power)
        return ratio.mul_(X).clamp_min_(EPS)

    def _check(self, known: Tensor) -> Tensor:
        """Looks at the loss; returns which items are done."""
        P = torch.baddbmm(known, self.H, self.N.mT).flatten(0, 1)
        rows = self.loss.rows(self.V.flatten(0, 1), P, torch.empty_like(P))
        rows = rows.view(self.V.shape[:2]) * self.weights[..., 0]
        now = rows.sum(1)
        if self.cost is not None:
            cost = self.weights * self.cost * self.S
            now = now + cost.sum((1, 2), dtype=torch.float64)
        level = self.V.sum((1, 2), dtype=torch.float64)
        noise = 16 * torch.finfo(self.V.dtype).eps * level
        gain = self.problem.tol * torch.maximum(now.abs(), noise)
        finished = self.last - now <= gain
        self.last = now
        self.total[self.items] = now
        self.losses.append(float((self.total * self.units).sum()))
        return finished if self.problem.tol else torch.zeros_like(finished)

    def _drop(self, keep: Tensor) -> None:
        """Takes items out of the work."""
        self._store()
        self.items, self.last = self.items[keep], self.last[keep]
        self.weights = self.weights[keep]
        self.V, self.valid = self.V[keep], self.valid[keep]
        self.S, self.H, self.N = self.S[keep], self.H[keep], self.N[keep]
        if self.cost is not None:
            self.cost = self.cost[keep]

    def _store(self) -> None:
        for done, now in zip(self.done, (self.S, self.H, self.N), strict=True):
            done[self.items] = now


# Share of the loudest frame's level.
SILENCE = 1e-6


def _quietest(V: Tensor, counts: Tensor, share: float) -> Tensor:
    """The frames of least level of each item, at least one; bool [B, T, 1]."""
    index = torch.arange(V.shape[1], device=V.device)
    level = V.sum(2)
    # Digital silence says nothing of the noise: it counts as padding.
    padding = index >= counts[:, None]
    silent = level <= SILENCE * level.masked_fill(padding, 0).amax(1)[:, None]
    padding = padding | (
        silent & ~silent.masked_fill(padding, True).all(1)[:, None]
    )
    counts = (~padding).sum(1)
    level = level.masked_fill(padding, torch.inf)
    rank = level.argsort(dim=1, stable=True).argsort(dim=1)
    few = (share * counts).ceil().clamp_min(1)
    return ((rank < few[:, None]) & ~padding).unsqueeze(-1)


def _start_atoms(V: Tensor, draw: Tensor, weights: Tensor) -> Tensor:
    """Their mean spectrum, each atom times something random, [B, F, n]."""
    mean = (weights * V).sum(1) / weights.sum(1)
    atoms = (mean.unsqueeze(-1) + EPS) * (0.5 + draw)
    return (atoms / atoms.sum(1, keepdim=True)).clamp_min(EPS)
