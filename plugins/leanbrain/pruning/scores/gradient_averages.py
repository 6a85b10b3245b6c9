"""Averages of gradients and of their squares, as in Adam, per pathway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from leanbrain.checks import check_fraction
from leanbrain.pruning.ranks import is_distributed
from leanbrain.pruning.scores.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.scores.codes import code_of
from leanbrain.pruning.scores.observing import fitting, space_for

__all__ = ["GradientAverages"]

_CODE = code_of(torch.float32)
# The square of what is smaller is no float32 any more, so that a quotient by
# its root alone could be of any size. With it, none is larger than 1.
_SMALLEST = torch.finfo(torch.float32).tiny ** 0.5
_Averages = dict[str, dict[str, RunningAverage]]


class GradientAverages:
    """Where the gradients of each pathway pull, and how sure they are.

    The direction g / sqrt(g2), of averages of gradients and of their squares
    with one decay, lies in [-1, 1]: 1 where all gradients agree, near 0 where
    they are noise, whatever their size.

    Arguments
    ---------
    decay : float
        Weight of the past, in [0, 1): the averages span about
        1 / (1 - decay) observations.

    Raises
    ------
    UserError
        If `decay` is out of its range.

    Reference
    ---------
    Kingma and Ba, arXiv 1412.6980, algorithm 1, with beta_1 = beta_2.

    Example
    -------
    >>> averages = GradientAverages(decay=0.5)
    >>> weight = torch.zeros(2)
    >>> for gradient in (torch.tensor([2.0, 4.0]), torch.tensor([2.0, -2.0])):
    ...     taken = averages.observe("en", "w", weight, gradient)
    >>> averages.move(weight, "en", "w", most=0.5)
    >>> [round(x, 3) for x in weight.tolist()]
    [-0.5, 0.0]
    """

    def __init__(self, decay: float) -> None:
        self.decay = check_fraction("decay", decay, high_open=True)
        self._means: _Averages = {}
        self._squares: _Averages = {}
        # Observations of each pathway since its last update.
        self._seen: dict[str, dict[str, int]] = {}
        # Reused by every observation, as large as the largest tensor.
        self._scratch = torch.empty(0)

    @torch.no_grad()
    def observe(
        self, pathway: str, name: str, weight: Tensor, gradient: Tensor
    ) -> bool:
        """Takes in a gradient.

        Arguments
        ---------
        pathway : str
            Whose it is.
        name : str
            Name of the parameter.
        weight : Tensor
            The parameter, any shape: gives the shape and the device.
        gradient : Tensor
            In the shape of `weight`.

        Returns
        -------
        bool
            False if an entry was NaN or infinite, or too large to be squared:
            the observation was discarded and left no trace.

        Raises
        ------
        UserError
            If the shape of the weight has changed.
        """
        gradient = gradient.contiguous().float()
        space = self._space(gradient)
        square = torch.mul(gradient, gradient, out=space)
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
    def move(
        self, values: Tensor, pathway: str, name: str, most: float
    ) -> None:
        """Moves values, in place, against the average gradient.

        Arguments
        ---------
        values : Tensor
            float32, in the shape of the parameter. They stay as they are if
            the pathway has not observed it.
        pathway : str
            Whose gradients pull.
        name : str
            Name of the parameter.
        most : float
            How far, where all gradients agree.

        Raises
        ------
        UserError
            If the shape differs.
        """
        if not self.knows(pathway, name):
            return
        mean = _find(self._means, pathway, name, values).values
        square = _find(self._squares, pathway, name, values).values
        size = torch.sqrt(square, out=self._space(square)).add_(_SMALLEST)
        values.addcdiv_(mean, size, value=-most)

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

    def counts(self, pathway: str) -> dict[str, int]:
        """Counts the observations of each parameter since the last reset.

        Arguments
        ---------
        pathway : str
            Whose.

        Returns
        -------
        dict
            Parameter -> number, of those that were observed.
        """
        return dict(self._seen.get(pathway, {}))

    def seen(self, pathway: str) -> int:
        """Counts the observations of a pathway since its last reset.

        Arguments
        ---------
        pathway : str
            Which one.

        Returns
        -------
        int
            Without discarded ones; of the parameter that has most.
        """
        return max(self._seen.get(pathway, {}).values(), default=0)

    def reduce(self, pathway: str) -> None:
        """Averages a pathway over ranks, by observations since the last reset.

        Every rank must call it at the same point; all then hold the same and
        count as many observations as the one with most. A single process:
        no-op.

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
        # With these, the plain mean over ranks is the one by observations.
        factor = {n: own[n] * len(counts[n]) / sum(counts[n]) for n in own}
        for averages in (self._means, self._squares):
            held = averages.setdefault(pathway, {})
            shares = {n: _times(held[n], factor[n]) for n in own}
            held.update(reduce_over_ranks(shares, _CODE))
        self._seen[pathway] = {n: max(counts[n]) for n in names}

    def holds(self, sizes: Sequence[int], pathways: int) -> int:
        """The most bytes that it keeps between steps: two float32 averages.

        Arguments
        ---------
        sizes : sequence of int
            Weights of each parameter.
        pathways : int
            How many there are.

        Returns
        -------
        int
        """
        return 4 * (2 * pathways * sum(sizes) + max(sizes, default=0))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "means": _saved(self._means),
            "squares": _saved(self._squares),
            "seen": {p: dict(counts) for p, counts in self._seen.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a copy of a saved state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.
        """
        self._means = _loaded(state["means"])
        self._squares = _loaded(state["squares"])
        self._seen = {p: dict(counts) for p, counts in state["seen"].items()}

    def _space(self, like: Tensor) -> Tensor:
        """Space to work in: no new memory per observation."""
        self._scratch = space_for(like, self._scratch)
        return self._scratch[: like.numel()].view(like.shape)


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
