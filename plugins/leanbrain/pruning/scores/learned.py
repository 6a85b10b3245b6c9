"""Learned masks: scores that a gradient moves, straight through the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_positive
from leanbrain.pruning.scores.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.scores.codes import code_of
from leanbrain.pruning.scores.gradient_averages import GradientAverages
from leanbrain.pruning.scores.observing import (
    check_gradient,
    fitting,
    space_for,
)
from leanbrain.pruning.scores.ranking import KeptRanks

__all__ = ["LearnedScore"]

if TYPE_CHECKING:
    from leanbrain.pruning.focal import FocalWeights

_VERSION = 2


class LearnedScore:
    """A score a per weight and pathway, learned by gradient descent.

    The mask, 1 for the largest a, is taken for its scores when the gradient
    passes it: with w = m * theta, dL/da = dL/dw * theta. A score is the rank
    of abs(theta), scaled to (0, 1), see `rank_shares`, plus what was learned.
    So it begins as the magnitude, and where weights are trained too, it
    follows them: what was learned is how a pathway differs.

    Steps are those of Adam: g / sqrt(g2) of averages of dL/da and of its
    square, weight by weight. So `lr` counts in ranks (0.01: past 1 % of the
    weights) in every layer, at any size of the loss and of the weight: a
    large weight, whose dL/da is large as well, does not follow the noise of
    single batches further than a small one. What a run moves depends on the
    number of micro-batches: give `lr` by its length, see `wandering_rate`.
    Scores of different layers say nothing of each other: an allocation that
    compares them is refused.

    Three float32 numbers per weight and pathway are kept, in checkpoints as
    well, until the masks freeze; one more per weight during an update.

    Arguments
    ---------
    lr : float
        The most that a micro-batch moves a score, > 0.
    decay : float
        Weight of the past in the averages, in [0, 1).
    weights : FocalWeights | None
        Those of the loss: the steps of a pathway are as much longer. In the
        gradient alone they would have no effect, since its size has none.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    Bengio et al., arXiv 1308.3432 (straight-through estimator); Mallya et
    al. (Piggyback), arXiv 1801.06519, eq. 3 to 5; arXiv 2210.14558; Kingma
    and Ba, arXiv 1412.6980, algorithm 1, with beta_1 = beta_2.

    Example
    -------
    >>> score = LearnedScore(lr=0.9)
    >>> weight = torch.tensor([1.0, -2.0])
    >>> score.value("en", "w", weight).argsort().tolist()
    [0, 1]
    >>> score.observe("en", "w", weight, torch.tensor([-1.0, 0.0]))
    True
    >>> score.value("en", "w", weight).argsort().tolist()
    [1, 0]
    """

    wants_gradient = True
    within_tensors = True  # scores of one say nothing of those of another

    def __init__(
        self,
        lr: float = 0.01,
        decay: float = 0.9,
        weights: FocalWeights | None = None,
    ) -> None:
        self.lr = check_positive("lr", lr)
        self.weights = weights
        self._slopes = GradientAverages(decay)
        # pathway -> parameter -> what was learned, in ranks
        self._learned: dict[str, dict[str, Tensor]] = {}
        self._ranks = KeptRanks()
        # Reused by every observation, as large as the largest tensor.
        self._scratch = torch.empty(0)

    @torch.no_grad()
    def observe(
        self, pathway: str, name: str, weight: Tensor, gradient: Tensor
    ) -> bool:
        """Learns from the gradient of one micro-batch.

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
            False if an entry was NaN or infinite: the observation of this
            tensor was discarded and left no trace.

        Raises
        ------
        UserError
            If the shape has changed or that of the gradient differs.
        """
        check_gradient(gradient, weight)
        self._ranks.forget(name)  # a step of the optimizer is near
        slope = self._slope(weight, gradient)
        if not self._slopes.observe(pathway, name, weight, slope):
            return False
        learned = self._find(pathway, name, weight)
        most = self.lr
        if self.weights is not None:
            most *= self.weights.weights().get(pathway, 1.0)
        self._slopes.move(learned, pathway, name, most)
        return True

    @torch.no_grad()
    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the scores, mapped to positive numbers.

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
            exp(a), float32, a new tensor: in the ranking of a, and > 0. What
            is as far as 87 ranks away, far more than a run can move it, ends
            at 0 or infinity, which rank as well.

        Raises
        ------
        UserError
            If the shape has changed.
        """
        ranks = self._ranks.of(name, weight)
        if name not in self._learned.get(pathway, {}):
            return ranks.exp()
        scores = ranks + self._find(pathway, name, weight)
        return scores.exp_()

    def reset(self, pathway: str | None = None) -> None:
        """Counts anew; what was learned stays unless all is to be forgotten.

        Arguments
        ---------
        pathway : str | None
            Whose observations count from 0 again. None forgets all pathways
            and frees their memory.
        """
        self._slopes.reset(pathway)
        if pathway is None:
            self._learned.clear()
            self._ranks.forget()
            self._scratch = torch.empty(0)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether there is a score: always, since it begins by itself."""
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
        return self._slopes.seen(pathway)

    @torch.no_grad()
    def reduce(self, pathway: str) -> None:
        """Averages a pathway's state over the ranks that observed it.

        Of scores the mean is that of the ranks, of the slopes' averages that
        of the batches.

        Every rank must call it at the same point; all then hold the same. A
        process that is not distributed is left as it is.

        Arguments
        ---------
        pathway : str
            Which one; ranks without observations receive the average too.
        """
        own = self._learned.get(pathway, {})
        code = code_of(torch.float32)
        # float32 averages hold any values, negative ones too.
        observed = {
            name: RunningAverage(code, own[name], 0.0, seen)
            for name, seen in self._slopes.counts(pathway).items()
        }
        for name, average in reduce_over_ranks(observed, code).items():
            self._learned.setdefault(pathway, {})[name] = average.values
        self._slopes.reduce(pathway)

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        # What was learned, the ranks of an update, and scratch.
        learned = 4 * ((pathways + 1) * sum(sizes) + max(sizes, default=0))
        return learned + self._slopes.holds(sizes, pathways)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "version": _VERSION,
            "learned": {p: dict(held) for p, held in self._learned.items()},
            "slopes": self._slopes.state_dict(),
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
        if state.get("version") != _VERSION or "learned" not in state:
            raise UserError(
                "The state of a LearnedScore must have learned scores and "
                f"version {_VERSION}, got the keys "
                f"{', '.join(sorted(state)) or 'none'}."
            )
        self._slopes.load_state_dict(state["slopes"])
        self._learned = {
            pathway: {name: scores.clone() for name, scores in held.items()}
            for pathway, held in state["learned"].items()
        }

    def _find(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns what was learned, on the device of its weight."""
        held = self._learned.setdefault(pathway, {})
        if name not in held:
            held[name] = torch.zeros(weight.shape, device=weight.device)
        held[name] = fitting(name, held[name], weight)
        return held[name]

    def _slope(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Computes dL/da in scratch space, float32."""
        self._scratch = space_for(weight, self._scratch)
        slope = self._scratch[: weight.numel()].view(weight.shape)
        if weight.dtype == gradient.dtype == torch.float32:
            return torch.mul(weight, gradient, out=slope)
        # The copy widens half types before the product.
        return slope.copy_(gradient).mul_(weight)
