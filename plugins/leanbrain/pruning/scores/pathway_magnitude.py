"""PathwayMagnitude: how large weights are where their pathway trains alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_positive
from leanbrain.pruning.scores.averages import (
    BLOCK,
    RunningAverage,
    are_ranks,
    reduce_over_ranks,
)
from leanbrain.pruning.scores.codes import code_of
from leanbrain.pruning.scores.factored import FactoredSquares
from leanbrain.pruning.scores.movement import Movement
from leanbrain.pruning.scores.observing import (
    check_gradient,
    fitting,
    in_blocks,
    rows_of,
)
from leanbrain.pruning.scores.sensitivity import (
    rms_factors,
    sensitivity_factors,
    typical_sensitivity,
)

__all__ = ["PathwayMagnitude"]

_VERSION = 2
# The code of drifts while ranks exchange them: any values, negative ones too.
_PLAIN = code_of(torch.float32)
# After so many micro-batches what a pathway wants is as large as noise.
_DOUBT = 100
# A gradient counts as at most so many times the root of its mean square.
_FURTHEST = 5.0
_LINES = 2  # of space to work in


class PathwayMagnitude:
    """The magnitude of a weight for a pathway, and how sensitive it is.

    The score is (abs(theta) + d * n / (n + 100)) * s. All pathways share theta;
    d is how much further the gradients g of this pathway alone would have moved
    its magnitude. At each micro-batch d moves by g / rms(g), weight by weight,
    times `pace` times what the weights of the tensor moved on average in the
    last step; micro-batches of one step share that alike. So masks adapt as
    fast as the weights do, whatever optimizer, learning rate, schedule and
    length of the run: a fine-tuning in small steps does not exchange weights
    faster than it can mend what that breaks. Masked weights drift as well. n
    counts the micro-batches of the pathway: what it wants adds up as n, and
    noise as the root of n, so that d counts the less the less was seen (the
    gain of a Wiener filter).

    The sensitivity s protects weights that are small and matter, most of all
    in models that were trained for long: there magnitude alone misleads. It
    is made of the mean squares of the pathway's gradients by column (inputs),
    c, by row (outputs), r, and of the tensor, m:
    s = m ** (e / 2) * (sqrt(c / m) * (r / m) ** (e / 2) + 0.3 * mean), e
    being `sensitivity` and mean that of what stands before it. The column
    counts in full: it has the size of the input, by which a weight is
    multiplied. Scores compare between tensors, so that layers that matter
    less can give more: use them with ``allocation.global_``.

    One number per weight and pathway is kept until the masks freeze, in
    checkpoints as well; besides, one per row and column.

    Arguments
    ---------
    pace : float
        How fast d moves, relative to the weights, > 0. Weights move on
        average by a fifth to a half of what those do whose gradients agree.
    sensitivity : float
        Exponent of the root mean square of the gradient by row and of
        tensors, in [0, 1].
    decay : float
        Weight of the past in the mean squares, in [0, 1).
    dtype : torch.dtype | str
        How d is kept: float32 or float16.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    Straight-through estimator: Bengio et al., arXiv 1308.3432. Magnitude
    times gradient: Le Cun et al., "Optimal brain damage", NIPS 1989, eq. 5.
    Magnitude times the norm of the input: Sun et al. (Wanda), arXiv
    2306.11695, eq. 1. Squares by row and column: ``FactoredSquares``.

    Example
    -------
    >>> score = PathwayMagnitude(pace=1.0, dtype="float32")
    >>> weight = torch.tensor([[1.0], [-2.0]])
    >>> gradient = torch.tensor([[1.0], [1.0]])
    >>> score.observe("en", "w", weight, gradient)
    True
    >>> score.value("en", "w", weight)
    tensor([[1.3000],
            [2.6000]])
    >>> weight -= 0.25  # an optimizer's step
    >>> for _ in range(2):
    ...     seen = score.observe("en", "w", weight, gradient)
    >>> score.value("en", "w", weight) / 1.3  # d is -0.25 and 0.25
    tensor([[0.7427],
            [2.2573]])
    """

    wants_gradient = True

    def __init__(
        self,
        pace: float = 8.0,
        sensitivity: float = 0.5,
        decay: float = 0.98,
        dtype: torch.dtype | str = torch.float16,
    ) -> None:
        self.pace = check_positive("pace", pace)
        self.sensitivity = check_fraction("sensitivity", sensitivity)
        self._code = code_of(dtype)
        if self._code.dtype not in (torch.float32, torch.float16):
            raise UserError(f"`dtype` must be float32 or float16, got {dtype}.")
        self._squares = FactoredSquares(
            check_fraction("decay", decay, high_open=True)
        )
        # pathway -> parameter -> d
        self._drifts: dict[str, dict[str, Tensor]] = {}
        # Observations of each pathway since its last update.
        self._seen: dict[str, dict[str, int]] = {}
        self._movement = Movement()
        # Reused by every observation.
        self._space = torch.empty(_LINES, 0)

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
            Dense weights of any shape, removed ones included.
        gradient : Tensor
            Dense gradient of the unscaled loss, in the shape of `weight`.

        Returns
        -------
        bool
            False if an entry was NaN or infinite, or too large to be squared:
            the observation was discarded and left no trace.

        Raises
        ------
        UserError
            If the shape of the weight has changed or that of the gradient
            differs.
        """
        check_gradient(gradient, weight)
        drift = self._drift(pathway, name, weight)
        if not self._squares.take(pathway, name, gradient):
            return False
        counts = self._seen.setdefault(pathway, {})
        counts[name] = counts.get(name, 0) + 1
        step = self.pace * self._movement.share(name, weight)
        if not step:
            return True
        rows, columns = rms_factors(*self._squares.means(pathway, name))
        for work, other, g, theta, d, row in self._blocks(
            gradient, weight, drift, rows
        ):
            torch.div(g, row, out=work).div_(columns)
            work.clamp_(-_FURTHEST, _FURTHEST)
            # Towards a larger magnitude is along the sign of the weight.
            work.mul_(other.copy_(theta).sign_())
            d.copy_(other.copy_(d).add_(work, alpha=-step))
        return True

    def end_window(self) -> None:
        """A step was made, of all micro-batches since the one before."""
        self._movement.end_window()

    @torch.no_grad()
    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the scores.

        Arguments
        ---------
        pathway : str
            Whose scores.
        name : str
            Name of the parameter.
        weight : Tensor
            Dense weights, removed ones included.

        Returns
        -------
        Tensor
            Scores >= 0, float32, a new tensor. A parameter that was observed
            in no pathway is as sensitive as the others are on average; the
            magnitudes before anything was observed.

        Raises
        ------
        UserError
            If the shape has changed.
        """
        if not self._squares.knows(name):
            return weight.detach().float().abs() * self._typical(pathway)
        rows, columns, least = sensitivity_factors(
            *self._squares.means(pathway, name), self.sensitivity
        )
        drift = self._drift(pathway, name, weight)
        seen = self._squares.seen(pathway, name)
        trust = seen / (seen + _DOUBT)
        score = torch.empty(weight.shape, device=weight.device)
        for work, other, theta, d, out, row in self._blocks(
            weight, drift, score, rows
        ):
            work.copy_(theta).abs_().add_(other.copy_(d), alpha=trust)
            work.clamp_(min=0.0)
            torch.mul(row, columns, out=other).add_(least)
            torch.mul(work, other, out=out)
        return score

    def reset(self, pathway: str | None = None) -> None:
        """Counts anew; what was gathered stays unless all is to be forgotten.

        Arguments
        ---------
        pathway : str | None
            Whose observations count from 0 again. None forgets all pathways
            and frees their memory.
        """
        if pathway is not None:
            self._seen.pop(pathway, None)
            return
        for held in (self._drifts, self._squares, self._seen, self._movement):
            held.clear()
        self._space = torch.empty(_LINES, 0)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether there is a score: always, it begins as the magnitude."""
        return True

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

    @torch.no_grad()
    def reduce(self, pathway: str) -> None:
        """Averages a pathway's state over the ranks that observed it.

        Every rank must call it at the same point; all then hold the same. A
        process that is not distributed is left as it is.

        Arguments
        ---------
        pathway : str
            Which one; ranks without observations receive the average too.
        """
        if not are_ranks():  # spares a copy of all of it
            return
        own = self._drifts.get(pathway, {})
        seen = self._seen.get(pathway, {})
        drifts = {
            name: RunningAverage(_PLAIN, own[name].float(), 0.0, count)
            for name, count in seen.items()
        }
        for name, mean in reduce_over_ranks(drifts, _PLAIN).items():
            held = self._drifts.setdefault(pathway, {})
            held[name] = mean.values.to(self._code.dtype)
            self._seen.setdefault(pathway, {})[name] = mean.seen
        self._squares.reduce(pathway, seen)

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``.

        Without the numbers per row and column, which shapes would tell.
        """
        kept = self._code.dtype.itemsize * pathways * sum(sizes)
        # One more line is that of the squares.
        scratch = 4 * (_LINES + 1) * min(BLOCK, max(sizes, default=0))
        return kept + scratch + self._movement.holds(sizes)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "version": _VERSION,
            "drifts": {p: dict(held) for p, held in self._drifts.items()},
            "squares": self._squares.state_dict(),
            "seen": {p: dict(counts) for p, counts in self._seen.items()},
            "movement": self._movement.state_dict(),
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
        if state.get("version") != _VERSION or "drifts" not in state:
            raise UserError(
                "The state of a PathwayMagnitude must have drifts and version "
                f"{_VERSION}, got the keys "
                f"{', '.join(sorted(state)) or 'none'}."
            )
        self._drifts = {
            pathway: {
                name: drift.to(self._code.dtype, copy=True)
                for name, drift in held.items()
            }
            for pathway, held in state["drifts"].items()
        }
        self._squares.load_state_dict(state["squares"])
        self._seen = {p: dict(counts) for p, counts in state["seen"].items()}
        self._movement.load_state_dict(state["movement"])

    def _typical(self, pathway: str) -> float:
        """Mean sensitivity of what was observed: of a weight that was not."""
        means = [
            typical_sensitivity(
                *self._squares.means(pathway, name), self.sensitivity
            )
            for name in self._squares.names()
        ]
        return sum(means) / len(means) if means else 1.0

    def _blocks(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Blocks of lines to work in, then of the tensors.

        What is written to must be contiguous.
        """
        tables = [rows_of(tensor.detach()) for tensor in tensors]
        size = max(RunningAverage.scratch_size(tables[0]), tables[0].shape[1])
        held, device = self._space, tables[0].device
        if held.shape[1] < size or held.device != device:
            self._space = torch.empty(_LINES, size, device=device)
        yield from in_blocks(self._space, *tables)

    def _drift(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns d, on the device of its weight."""
        held = self._drifts.setdefault(pathway, {})
        if name not in held:
            held[name] = torch.zeros(
                weight.shape, dtype=self._code.dtype, device=weight.device
            )
        held[name] = fitting(name, held[name], weight)
        return held[name]
