"""Sources of a mixture: some atoms known, the others learnt from it alone.

Semi-supervised NMF (Smaragdis, Raj and Shashanka, ICA 2007): the dictionary
of the speech is fixed, atoms of the noise are learnt on the noisy recording.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_positive,
)
from leanbrain.nmf.info import CHECK_EVERY, Info
from leanbrain.nmf.inputs import check_factor
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.scaling import penalty_weights, power_of_two
from leanbrain.nmf.solvers.base import EPS

__all__ = ["semi_supervised", "wiener_masks"]

# Elements of V of the utterances that are worked on together: on a CPU short
# ones four times as fast as one by one, while all matrices stay in the cache.
GROUP_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}


def wiener_masks(parts: Tensor, exponent: float = 1.0) -> Tensor:
    """Shares of the sources in every bin.

    Arguments
    ---------
    parts : Tensor
        Estimated spectra, a source per entry of the first axis, >= 0.
    exponent : float
        Of the spectra: 2 on magnitudes makes Wiener filters of them.

    Returns
    -------
    Tensor
        Of the same shape, in [0, 1]; they sum to one over the first axis,
        also where all parts are 0.

    Example
    -------
    >>> wiener_masks(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    tensor([[0.2500, 0.5000],
            [0.7500, 0.5000]])
    """
    exponent = check_positive("exponent", exponent)
    loudest = parts.amax(0, keepdim=True)
    # Powers of numbers up to one: nothing overflows, the sum is >= 1.
    share = torch.where(loudest > 0, parts / loudest, 1.0).pow(exponent)
    return share / share.sum(0, keepdim=True)


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
) -> tuple[Tensor, Tensor, Info]:
    """Learns further atoms on each item of a batch beside fixed ones.

    Multiplicative updates, with which the loss does not rise: of the new
    atoms, then of all activations; the loss is that of the frames that the
    atoms are learnt from. Items are independent problems; each stops
    by its own progress. `l1` weighs the activations of the fixed atoms alone:
    it says how much cheaper it is to explain a frame by the new ones.

    Arguments
    ---------
    V : Tensor
        Spectra [B, T, F], finite and >= 0 in the real frames.
    W : Tensor
        Fixed atoms [F, K], >= 0, no column all zero.
    n_atoms : int
        How many atoms to learn on each item, >= 1.
    problem : Problem
        Loss, limits and `l1`; its solver is not used, `l2` must be 0.
    counts : Tensor | None
        Real frames of each item, [B], the first ones; None: all.
    generator : torch.Generator | None
        Of the start, on the CPU, drawn once for all items; None: seed 0.
    quiet : float
        Share of frames, those of least level, that the new atoms are learnt
        from, in (0, 1]. With all, they learn what the loudest source does.

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
        If W does not fit V or has a column of zeros.

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
    W = check_factor("W", W, (V.shape[2], -1)).to(V)
    if bool((W.sum(0) == 0).any()):
        raise UserError(
            "`W` must have no column of zeros (an atom that can explain "
            f"nothing), got {int((W.sum(0) == 0).sum())} of them."
        )
    if problem.l2:
        raise UserError(f"`l2` must be 0 here, got {problem.l2!r}.")
    if counts is None:
        counts = torch.full((len(V),), V.shape[1])
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    # In float64 on the CPU: the same start for every type and device.
    size = (V.shape[2], n_atoms)
    draw = torch.rand(size, generator=generator, dtype=torch.float64).to(V)
    H = V.new_zeros(*V.shape[:2], W.shape[1] + n_atoms)
    learnt = draw.div(draw.sum(0)).repeat(len(V), 1, 1)
    info, traces = Info(reason="tol"), []
    with torch.autocast(V.device.type, enabled=False):
        for group in _groups(counts.cpu(), V):
            frames = int(counts[group[0]])
            group, part_counts = group.to(V.device), counts[group].to(V.device)
            part = _Group(
                V[group, :frames], W, draw, problem, part_counts, quiet
            )
            part.run()
            H[group, :frames], learnt[group] = part.result()
            traces.append(part.losses)
            info.iterations = max(info.iterations, part.iterations)
            if not part.settled:
                info.reason = "max_iter"
    info.losses = [
        sum(trace[min(i, len(trace) - 1)] for trace in traces)
        for i in range(max((len(trace) for trace in traces), default=0))
    ]
    return H, learnt, info


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


class _Group:
    """Items that are updated together until each is done."""

    def __init__(
        self,
        V: Tensor,
        W: Tensor,
        draw: Tensor,
        problem: Problem,
        counts: Tensor,
        quiet: float,
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
        self.l1, _ = penalty_weights(
            self.loss, problem.l1, 0.0, self.scale, atoms
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
        """All activations in the units of the user, and the atoms."""
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
        fixed = fixed if self.l1 is None else fixed + self.l1
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
        if self.l1 is not None:
            cost = self.weights * self.l1 * self.S
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
        if self.l1 is not None:
            self.l1 = self.l1[keep]

    def _store(self) -> None:
        for done, now in zip(self.done, (self.S, self.H, self.N), strict=True):
            done[self.items] = now


def _quietest(V: Tensor, counts: Tensor, share: float) -> Tensor:
    """The frames of least level of each item, at least one; bool [B, T, 1]."""
    index = torch.arange(V.shape[1], device=V.device)
    padding = index >= counts[:, None]
    level = V.sum(2).masked_fill(padding, torch.inf)
    rank = level.argsort(dim=1, stable=True).argsort(dim=1)
    few = (share * counts).ceil().clamp_min(1)
    return ((rank < few[:, None]) & ~padding).unsqueeze(-1)


def _start_atoms(V: Tensor, draw: Tensor, weights: Tensor) -> Tensor:
    """Their mean spectrum, each atom times something random, [B, F, n]."""
    mean = (weights * V).sum(1) / weights.sum(1)
    atoms = (mean.unsqueeze(-1) + EPS) * (0.5 + draw)
    return (atoms / atoms.sum(1, keepdim=True)).clamp_min(EPS)
