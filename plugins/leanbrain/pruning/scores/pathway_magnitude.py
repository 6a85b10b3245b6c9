"""PathwayMagnitude: how large weights are where their pathway trains alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_positive
from leanbrain.pruning.scores.averages import (
    BLOCK,
    RunningAverage,
    reduce_over_ranks,
)
from leanbrain.pruning.scores.codes import code_of
from leanbrain.pruning.scores.movement import Movement
from leanbrain.pruning.scores.observing import (
    check_gradient,
    fitting,
    in_blocks,
)

__all__ = ["PathwayMagnitude"]

_VERSION = 1
# The code of drifts while ranks exchange them: any values, negative ones too.
_PLAIN = code_of(torch.float32)
# Roots of squares that are no float32 any more: quotients stay at most 1.
_SMALLEST = torch.finfo(torch.float32).tiny ** 0.5
_ROWS = 2  # of space to work in


class PathwayMagnitude:
    """The magnitude of a weight for a pathway, and how sensitive it is.

    The score is (abs(theta) + d) * rms(g) ** sensitivity. All pathways share
    theta; d is how much further the gradients g of this pathway alone would
    have moved its magnitude. At each micro-batch d moves by
    g / rms(g), weight by weight, times `pace` times what the weights of the
    tensor moved on average since the one before. So masks adapt as fast as
    the weights do, whatever optimizer, learning rate, schedule and length of
    the run: a fine-tuning in small steps does not exchange weights faster
    than it can mend what that breaks. Masked weights drift as well.

    rms(g) protects weights that are small and matter, most of all in models
    that were trained for long: there magnitude alone misleads.

    Two numbers per weight and pathway are kept until the masks freeze, in
    checkpoints as well; besides, a sample of each tensor.

    Arguments
    ---------
    pace : float
        How fast d moves, relative to the weights, > 0.
    sensitivity : float
        Exponent of the root mean square of the gradient, in [0, 1]: 0 leaves
        the magnitude, 1 is the root of the diagonal of the Fisher matrix
        times the magnitude, as in optimal brain damage.
    decay : float
        Weight of the past in the mean square, in [0, 1).
    dtype : torch.dtype | str
        How both numbers are kept: float32 or float16.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    Straight-through estimator: Bengio et al., arXiv 1308.3432. Magnitude
    times gradient: Le Cun et al., "Optimal brain damage", NIPS 1989, eq. 5;
    Lee et al. (SNIP), arXiv 1810.02340.

    Example
    -------
    >>> score = PathwayMagnitude(sensitivity=0.0, dtype="float32")
    >>> weight = torch.tensor([1.0, -2.0])
    >>> gradient = torch.tensor([1.0, 1.0])
    >>> score.observe("en", "w", weight, gradient)
    True
    >>> score.value("en", "w", weight)
    tensor([1., 2.])
    >>> weight -= 0.25  # an optimizer's step
    >>> score.observe("en", "w", weight, gradient)
    True
    >>> score.value("en", "w", weight)
    tensor([0.5000, 2.5000])
    """

    wants_gradient = True

    def __init__(
        self,
        pace: float = 1.0,
        sensitivity: float = 0.5,
        decay: float = 0.97,
        dtype: torch.dtype | str = torch.float16,
    ) -> None:
        self.pace = check_positive("pace", pace)
        self.sensitivity = check_fraction("sensitivity", sensitivity)
        self.decay = check_fraction("decay", decay, high_open=True)
        self._furthest = (1.0 - self.decay) ** -0.5
        self._code = code_of(dtype)
        if self._code.dtype not in (torch.float32, torch.float16):
            raise UserError(f"`dtype` must be float32 or float16, got {dtype}.")
        # pathway -> parameter -> d; the mean square of the gradient
        self._drifts: dict[str, dict[str, Tensor]] = {}
        self._squares: dict[str, dict[str, RunningAverage]] = {}
        # Observations of each pathway since its last update.
        self._seen: dict[str, dict[str, int]] = {}
        self._movement = Movement()
        # Reused by every observation.
        self._space = torch.empty(_ROWS, 0)

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
        highest = _highest_square(gradient)
        if not math.isfinite(highest):  # the only wait for a GPU
            return False
        average = self._average(pathway, name, weight)
        past, new = average.mix(highest, self.decay)
        counts = self._seen.setdefault(pathway, {})
        counts[name] = counts.get(name, 0) + 1
        # Of what is stored, whose unit is divided out at the end.
        unit = math.sqrt(average.unit or 1.0)
        furthest = self._furthest * unit
        step = self.pace * self._movement.since_last(name, weight) / unit
        drift = self._drift(pathway, name, weight)
        for work, other, g, theta, square, d in in_blocks(
            self._space_for(weight), gradient, weight, average.values, drift
        ):
            g = g.float()
            self._code.decode(square, work)
            square.copy_(work.mul_(past).addcmul_(g, g, value=new))
            torch.div(g, work.sqrt_().add_(_SMALLEST / unit), out=work)
            # Roundings of the smallest numbers must not move d far.
            work.clamp_(-furthest, furthest)
            # Towards a larger magnitude is along the sign of the weight.
            work.mul_(other.copy_(theta).sign_())
            d.copy_(other.copy_(d).add_(work, alpha=-step))
        return True

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
            Scores >= 0, float32, a new tensor; the magnitudes where nothing
            was observed.

        Raises
        ------
        UserError
            If the shape has changed.
        """
        if name not in self._squares.get(pathway, {}):
            return weight.detach().float().abs()
        average = self._average(pathway, name, weight)
        drift = self._drift(pathway, name, weight)
        score = torch.empty(weight.shape, device=weight.device)
        for work, root, theta, square, d, out in in_blocks(
            self._space_for(weight), weight, average.values, drift, score
        ):
            torch.abs(theta.float(), out=work)
            work.add_(root.copy_(d)).clamp_(min=0.0)
            self._code.decode(square, root).mul_(average.unit).sqrt_()
            # Roots of roots take a fifth of the time of other powers.
            torch.mul(work, root.pow_(self.sensitivity), out=out)
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
        for held in (self._drifts, self._squares, self._seen):
            held.clear()
        self._movement.clear()
        self._space = torch.empty(_ROWS, 0)

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
        squares = self._squares.get(pathway, {})
        observed = {name: squares[name] for name in seen}
        for name, mean in reduce_over_ranks(observed, self._code).items():
            self._squares.setdefault(pathway, {})[name] = mean

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        kept = 2 * self._code.dtype.itemsize * pathways * sum(sizes)
        scratch = 4 * _ROWS * min(BLOCK, max(sizes, default=0))
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
            "squares": {
                pathway: {name: a.state_dict() for name, a in held.items()}
                for pathway, held in self._squares.items()
            },
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
        self._squares = {
            pathway: {
                name: RunningAverage.from_state(self._code, saved)
                for name, saved in held.items()
            }
            for pathway, held in state["squares"].items()
        }
        self._seen = {p: dict(counts) for p, counts in state["seen"].items()}
        self._movement.load_state_dict(state["movement"])

    def _space_for(self, weight: Tensor) -> Tensor:
        """Returns rows to work in: of a block, on a GPU of whole tensors."""
        size = RunningAverage.scratch_size(weight)
        held = self._space
        if held.shape[1] < size or held.device != weight.device:
            self._space = torch.empty(_ROWS, size, device=weight.device)
        return self._space

    def _drift(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns d, on the device of its weight."""
        held = self._drifts.setdefault(pathway, {})
        if name not in held:
            held[name] = torch.zeros(
                weight.shape, dtype=self._code.dtype, device=weight.device
            )
        held[name] = fitting(name, held[name], weight)
        return held[name]

    def _average(
        self, pathway: str, name: str, weight: Tensor
    ) -> RunningAverage:
        """Returns the mean square, on the device of its weight."""
        held = self._squares.setdefault(pathway, {})
        if name not in held:
            held[name] = RunningAverage.empty(self._code, weight)
        average = held[name]
        average.values = fitting(name, average.values, weight)
        return average


def _highest_square(gradient: Tensor) -> float:
    """Returns the largest square of its entries; NaN if one of them is."""
    if not gradient.numel():
        return 0.0
    ends = torch.stack(torch.aminmax(gradient.detach())).float()
    return float(ends.square_().max())
