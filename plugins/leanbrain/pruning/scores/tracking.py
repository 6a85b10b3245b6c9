"""TrackedScore: a score averaged over a pathway's own micro-batches."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_callable, check_fraction
from leanbrain.pruning.scores.averages import (
    BLOCK,
    RunningAverage,
    reduce_over_ranks,
)
from leanbrain.pruning.scores.codes import code_of

__all__ = ["TrackedScore"]

_VERSION = 1


class TrackedScore:
    """Exponential moving average of a score per pathway, with bias correction.

    Memory is used only for pathways that were observed since their last
    `reset`, which frees it.

    Arguments
    ---------
    function : callable
        ``(weight, gradient) -> Tensor`` of scores >= 0 in the shape of the
        weight, `weight_gradient` for one. If it takes `out` it is given a
        float32 tensor to write to, which spares a new one per observation.
    decay : float
        Weight of the past, in [0, 1). The average spans about
        1 / (1 - decay) micro-batches of the pathway.
    dtype : torch.dtype | str
        How averages are stored: float32, float16, bfloat16 or int8 (one byte
        per weight, 256 levels). float16 keeps the ranking almost as it is;
        int8 keeps about 98 of the 100 best.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Example
    -------
    >>> from leanbrain.pruning.scores.basic import weight_gradient
    >>> score = TrackedScore(weight_gradient, decay=0.5)
    >>> weight = torch.tensor([1.0, -2.0])
    >>> score.observe("en", "w", weight, torch.tensor([1.0, 1.0]))
    True
    >>> score.observe("en", "w", weight, torch.tensor([1.0, float("inf")]))
    False
    >>> score.value("en", "w", weight)
    tensor([1., 2.])
    """

    wants_gradient = True

    def __init__(
        self,
        function: Callable[..., Tensor],
        decay: float = 0.9,
        dtype: torch.dtype | str = torch.float32,
    ) -> None:
        self.function = check_callable("function", function)
        self.decay = check_fraction("decay", decay, high_open=True)
        self._code = code_of(dtype)
        self._takes_out = _takes_out(function)
        self._averages: dict[str, dict[str, RunningAverage]] = {}
        # Reused by every observation: new tensors of this size each time
        # would cost more than the arithmetic.
        self._fresh = torch.empty(0)
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
            Weights of any shape.
        gradient : Tensor
            Dense gradient of the unscaled loss, in the shape of `weight`.

        Returns
        -------
        bool
            False if a score was NaN or infinite: the observation of this
            tensor was discarded and left no trace.

        Raises
        ------
        UserError
            If a score is negative or the shape has changed.
        """
        average = self._find(pathway, name, weight)
        fresh = self._score(weight, gradient)
        # One pass and, on a GPU, one wait: NaN and infinity show in these.
        lowest, highest = torch.stack(torch.aminmax(fresh)).tolist()
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return False
        if lowest < 0.0:
            raise UserError(
                f"`function` must return scores >= 0, got {lowest:g} for "
                f"{name!r}."
            )
        if average is None:
            average = RunningAverage.empty(self._code, weight)
            self._averages.setdefault(pathway, {})[name] = average
        average.take(fresh, highest, self.decay, self._scratch_for(weight))
        return True

    @torch.no_grad()
    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the bias-corrected average.

        Arguments
        ---------
        pathway : str
            Whose average.
        name : str
            Name of the parameter.
        weight : Tensor
            The parameter; only its shape and device are used.

        Returns
        -------
        Tensor
            Scores >= 0, float32, a new tensor in the shape of `weight`.

        Raises
        ------
        UserError
            If nothing was observed or the shape has changed.
        """
        average = self._find(pathway, name, weight)
        if average is None:
            raise UserError(
                f"Pathway {pathway!r} must have observed a finite gradient "
                f"of {name!r} before its score is read, got "
                f"{self.seen(pathway)} observations, none of {name!r}."
            )
        return average.value()

    def reset(self, pathway: str | None = None) -> None:
        """Forgets a pathway and frees its memory.

        Arguments
        ---------
        pathway : str | None
            Which one; None forgets all.
        """
        if pathway is None:
            self._averages.clear()
        else:
            self._averages.pop(pathway, None)
        if not self._averages:
            self._fresh = self._scratch = torch.empty(0)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether a pathway has observed a parameter since its reset."""
        return name in self._averages.get(pathway, {})

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
        averages = self._averages.get(pathway, {})
        return max((average.seen for average in averages.values()), default=0)

    @torch.no_grad()
    def reduce(self, pathway: str) -> None:
        """Averages a pathway over the ranks that observed it.

        Every rank must call it at the same point; all then hold the same. A
        process that is not distributed is left as it is.

        Arguments
        ---------
        pathway : str
            Which one; ranks without observations receive the average too.
        """
        own = self._averages.get(pathway, {})
        reduced = reduce_over_ranks(own, self._code)
        if reduced:
            self._averages[pathway] = reduced

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps between steps, on a CPU.

        Arguments
        ---------
        sizes : sequence of int
            Weights of each parameter.
        pathways, at_once : int
            How many there are, and how many of them gather at a time.

        Returns
        -------
        int
        """
        largest = max(sizes, default=0)
        averages = at_once * sum(sizes) * self._code.dtype.itemsize
        return averages + 4 * (largest + min(largest, BLOCK))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "version": _VERSION,
            "dtype": str(self._code.dtype),
            "pathways": {
                pathway: {name: a.state_dict() for name, a in averages.items()}
                for pathway, averages in self._averages.items()
            },
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
            If the state is of another version or was stored in another dtype.
        """
        expected = {"version": _VERSION, "dtype": str(self._code.dtype)}
        for key, value in expected.items():
            if state.get(key) != value:
                raise UserError(
                    f"`{key}` of a saved score must be {value}, got "
                    f"{state.get(key)}."
                )
        self._averages = {
            pathway: {
                name: RunningAverage.from_state(self._code, saved)
                for name, saved in averages.items()
            }
            for pathway, averages in state["pathways"].items()
        }

    def _find(
        self, pathway: str, name: str, weight: Tensor
    ) -> RunningAverage | None:
        """Returns an average, on the device of its weight."""
        average = self._averages.get(pathway, {}).get(name)
        if average is None:
            return None
        if average.values.shape != weight.shape:
            raise UserError(
                f"`weight` of {name!r} must be in the shape of its score, "
                f"{tuple(average.values.shape)}; got {tuple(weight.shape)}."
            )
        # A loaded state lies where its file was read to.
        average.values = average.values.to(weight.device)
        return average

    def _score(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Computes a score in scratch space, flat float32."""
        self._fresh = _at_least(self._fresh, weight.numel(), weight.device)
        fresh = self._fresh[: weight.numel()].view(weight.shape)
        options = {"out": fresh} if self._takes_out else {}
        score = self.function(weight, gradient, **options)
        if score is fresh:
            return fresh
        if score.shape != weight.shape:
            raise UserError(
                "`function` must return scores in the shape of the weight, "
                f"{tuple(weight.shape)}; got {tuple(score.shape)}."
            )
        return fresh.copy_(score)

    def _scratch_for(self, weight: Tensor) -> Tensor:
        """Returns the space that an average needs to take something in."""
        size = RunningAverage.scratch_size(weight)
        self._scratch = _at_least(self._scratch, size, weight.device)
        return self._scratch


def _takes_out(function: Callable[..., Tensor]) -> bool:
    """Whether a score function can write into a given tensor."""
    try:
        return "out" in inspect.signature(function).parameters
    except ValueError:  # some built-in functions have no signature
        return False


def _at_least(space: Tensor, size: int, device: torch.device) -> Tensor:
    """Returns scratch space on a device, the old one if it is large enough."""
    if space.numel() >= size and space.device == device:
        return space
    return torch.empty(size, device=device)
