"""LookAhead: the magnitude that weights would have after more training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_positive
from leanbrain.pruning.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.codes import code_of
from leanbrain.pruning.observing import check_gradient, fitting, space_for
from leanbrain.pruning.ranks import is_distributed

__all__ = ["LookAhead"]

_VERSION = 1
_CODE = code_of(torch.float32)
_Averages = dict[str, dict[str, RunningAverage]]


class LookAhead:
    """Magnitude of each weight, moved to where a pathway's gradient pulls it.

    All pathways share their weights, so by magnitude they would all keep the
    same. A run of one language alone would find masks of its own, because its
    weights drift: those it needs grow. This score is that magnitude without
    the run: |theta - step * rms(theta) * g / sqrt(g2)|, where g and g2 are
    averages of the pathway's own gradients and of their squares, as in Adam:
    near the bar, what the pathway wants larger is kept, what it wants smaller
    goes. The sign makes noise cancel, which it does not in |theta * g|.

    Two float32 averages per weight and pathway are kept, in checkpoints as
    well, from the first batch until the masks freeze.

    Arguments
    ---------
    step : float
        How far ahead: the most that a weight is moved, in root mean squares of
        its tensor, > 0. It is reached where all gradients agree.
    decay : float
        Weight of the past, in [0, 1): the averages span about
        1 / (1 - decay) micro-batches of the pathway.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    Kingma and Ba, arXiv 1412.6980, algorithm 1, for the update that is looked
    ahead to; Sanh et al., "Movement pruning", arXiv 2005.07683, section 4,
    for the movement as what tells that a weight matters.

    Example
    -------
    >>> score = LookAhead(step=0.5)
    >>> weight = torch.tensor([1.0, -1.0, 1.0])
    >>> score.observe("en", "w", weight, torch.tensor([-0.1, -0.1, 0.0]))
    True
    >>> score.value("en", "w", weight)
    tensor([1.5000, 0.5000, 1.0000])
    """

    wants_gradient = True

    def __init__(self, step: float = 0.3, decay: float = 0.97) -> None:
        self.step = check_positive("step", step)
        self.decay = check_fraction("decay", decay, high_open=True)
        self._means: _Averages = {}
        self._squares: _Averages = {}
        # Batches of each pathway since its last update.
        self._seen: dict[str, dict[str, int]] = {}
        # Reused by every observation, as large as the largest tensor.
        self._scratch = torch.empty(0)

    @torch.no_grad()
    def observe(
        self, pathway: str, name: str, weight: Tensor, gradient: Tensor
    ) -> bool:
        """Takes in the gradient of one micro-batch.

        Arguments
        ---------
        pathway : str
            Whose micro-batch it was.
        name : str
            Name of the parameter.
        weight : Tensor
            Weights of any shape; only the shape and the device are used.
        gradient : Tensor
            Dense gradient of the unscaled loss, in the shape of `weight`.

        Returns
        -------
        bool
            False if an entry was NaN or infinite: the observation of this
            tensor was discarded and left no trace.

        Raises
        ------
        UserError
            If the shape of the gradient differs or has changed.
        """
        check_gradient(gradient, weight)
        gradient = gradient.contiguous().float()
        square = self._square(gradient)
        # NaN and infinity show in it; the only wait for a GPU.
        if not bool(torch.isfinite(square.sum())):
            return False
        for averages, fresh in (
            (self._means, gradient),
            (self._squares, square),
        ):
            average = _find(averages, pathway, name, weight)
            average.take(fresh, 0.0, self.decay, self._scratch)
        counts = self._seen.setdefault(pathway, {})
        counts[name] = counts.get(name, 0) + 1
        return True

    @torch.no_grad()
    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the magnitudes ahead.

        Arguments
        ---------
        pathway : str
            Whose gradients count.
        name : str
            Name of the parameter.
        weight : Tensor
            Dense weights, removed ones included.

        Returns
        -------
        Tensor
            Scores >= 0, float32, a new tensor in the shape of `weight`; the
            magnitudes of now where nothing was observed.

        Raises
        ------
        UserError
            If the shape has changed.
        """
        ahead = weight.detach().float().clone()
        if not self.knows(pathway, name):
            return ahead.abs_()
        mean = _find(self._means, pathway, name, weight).values
        square = _find(self._squares, pathway, name, weight).values
        rms = float(torch.linalg.vector_norm(ahead)) / ahead.numel() ** 0.5
        most = self.step * rms
        # Gradients that are always zero pull nowhere: 0 / tiny.
        size = square.sqrt().add_(torch.finfo(torch.float32).tiny)
        return ahead.addcdiv_(mean, size, value=-most).abs_()

    def reset(self, pathway: str | None = None) -> None:
        """Counts anew; the averages stay unless all is to be forgotten.

        Arguments
        ---------
        pathway : str | None
            Whose observations count from 0 again. None forgets all pathways
            and frees their memory.
        """
        if pathway is not None:
            self._seen.pop(pathway, None)
            return
        for state in (self._means, self._squares, self._seen):
            state.clear()
        self._scratch = torch.empty(0)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether a pathway has observed a parameter."""
        return name in self._means.get(pathway, {})

    def seen(self, pathway: str) -> int:
        """Counts the observations of a pathway since its last reset.

        Arguments
        ---------
        pathway : str
            Which one.

        Returns
        -------
        int
            Micro-batches, without discarded ones; of the parameter that has
            most.
        """
        return max(self._seen.get(pathway, {}).values(), default=0)

    def reduce(self, pathway: str) -> None:
        """Averages a pathway over ranks, by their batches since the last reset.

        Every rank must call it at the same point; all then hold the same and
        count as many batches as the one with most. A single process: no-op.

        Arguments
        ---------
        pathway : str
            Which one; ranks that saw nothing receive the average too.
        """
        if not is_distributed():
            return
        own = self._seen.get(pathway, {})
        ranks: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(ranks, own)
        names = sorted(set().union(*ranks))
        counts = {n: [rank[n] for rank in ranks if n in rank] for n in names}
        # With these, the plain mean over ranks is the one by batches.
        factor = {n: own[n] * len(counts[n]) / sum(counts[n]) for n in own}
        for averages in (self._means, self._squares):
            held = averages.setdefault(pathway, {})
            shares = {n: _times(held[n], factor[n]) for n in own}
            held.update(reduce_over_ranks(shares, _CODE))
        self._seen[pathway] = {n: max(counts[n]) for n in names}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "version": _VERSION,
            "means": _saved(self._means),
            "squares": _saved(self._squares),
            "seen": {p: dict(counts) for p, counts in self._seen.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a copy of a saved state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        UserError
            If the state is of another score or version.
        """
        if state.get("version") != _VERSION or "squares" not in state:
            raise UserError(
                "The state of a LookAhead must have averages of squares and "
                f"version {_VERSION}, got the keys "
                f"{', '.join(sorted(state)) or 'none'}."
            )
        self._means = _loaded(state["means"])
        self._squares = _loaded(state["squares"])
        self._seen = {p: dict(counts) for p, counts in state["seen"].items()}

    def _square(self, gradient: Tensor) -> Tensor:
        """Squares into scratch space: no new memory per observation."""
        self._scratch = space_for(gradient, self._scratch)
        space = self._scratch[: gradient.numel()].view(gradient.shape)
        return torch.mul(gradient, gradient, out=space)


def _find(
    averages: _Averages, pathway: str, name: str, weight: Tensor
) -> RunningAverage:
    """Returns an average on the device of its weight; begins a new one."""
    entries = averages.setdefault(pathway, {})
    if name not in entries:
        entries[name] = RunningAverage.empty(_CODE, weight)
    average = entries[name]
    average.values = fitting(name, average.values, weight)
    return average


def _times(average: RunningAverage, factor: float) -> RunningAverage:
    """An average with values of another size."""
    return RunningAverage(_CODE, average.values * factor, seen=average.seen)


def _saved(averages: _Averages) -> dict[str, Any]:
    """Averages as plain containers."""
    return {
        pathway: {name: a.state_dict() for name, a in entries.items()}
        for pathway, entries in averages.items()
    }


def _loaded(state: Mapping[str, Any]) -> _Averages:
    """Averages from what `_saved` returned."""
    return {
        pathway: {
            name: RunningAverage.from_state(_CODE, saved)
            for name, saved in entries.items()
        }
        for pathway, entries in state.items()
    }
