"""Learned masks: scores that a gradient moves, straight through the mask."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_positive
from leanbrain.pruning.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.codes import code_of
from leanbrain.pruning.observing import check_gradient, fitting, space_for
from leanbrain.pruning.ranking import rank_shares

__all__ = ["LearnedScore"]

_VERSION = 1
_TINY = 1e-30  # of a mean gradient: below, float32 loses its digits


@dataclass
class _Learned:
    """What one pathway has learned of one tensor.

    Arguments
    ---------
    values : Tensor
        The scores a, float32.
    seen : int
        Observations since the last update of the masks.
    """

    values: Tensor
    seen: int = 0


class LearnedScore:
    """A score a per weight and pathway, learned by gradient descent.

    The mask, 1 for the largest a, is taken for its scores when the gradient
    passes it: with w = m * theta, dL/da = dL/dw * theta. Scores begin at the
    rank of abs(theta), scaled to (0, 1), see `rank_shares`.

    Every step is divided by the mean of abs(dL/da) over the tensor: one
    micro-batch moves its scores by `lr` on average. So `lr` counts in ranks
    (0.01: past 1 % of the weights) in every layer and at any size of the
    loss, no moments of the size of the weights are needed, and a batch with
    an unusual loss has no more say than others. Scores of different layers
    say nothing of each other: use an allocation that does not compare them.

    Arguments
    ---------
    lr : float
        Mean distance that a micro-batch moves a score, > 0.

    Raises
    ------
    UserError
        If `lr` is no such number.

    Reference
    ---------
    Bengio et al., arXiv 1308.3432 (straight-through estimator); Mallya et
    al. (Piggyback), arXiv 1801.06519, eq. 3 to 5; arXiv 2210.14558.

    Example
    -------
    >>> score = LearnedScore(lr=0.5)
    >>> weight = torch.tensor([1.0, -2.0])
    >>> score.value("en", "w", weight).argsort().tolist()
    [0, 1]
    >>> score.observe("en", "w", weight, torch.tensor([-1.0, 0.0]))
    True
    >>> score.value("en", "w", weight).argsort().tolist()
    [1, 0]
    """

    wants_gradient = True

    def __init__(self, lr: float = 0.01) -> None:
        self.lr = check_positive("lr", lr)
        self._learned: dict[str, dict[str, _Learned]] = {}
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
        slope = self._slope(weight, gradient)
        # NaN and infinity show in it; the only wait for a GPU.
        size = float(torch.linalg.vector_norm(slope, ord=1))
        if not math.isfinite(size):
            return False
        learned = self._find(pathway, name, weight)
        learned.seen += 1
        # Where gradients are as good as zero, their direction is noise.
        if size > slope.numel() * _TINY:
            step = self.lr * slope.numel() / size
            learned.values.add_(slope, alpha=-step)
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
            The parameter: what scores begin with if there are none yet.

        Returns
        -------
        Tensor
            1 + a where a >= 0 and 1 / (1 - a) where a < 0, float32, a new
            tensor: in the ranking of a, and > 0.

        Raises
        ------
        UserError
            If the shape has changed.
        """
        values = self._find(pathway, name, weight).values
        below = values.clamp(max=0.0).neg_().add_(1.0)
        return values.clamp(min=0.0).add_(1.0).div_(below)

    def reset(self, pathway: str | None = None) -> None:
        """Counts anew; what was learned stays unless all is to be forgotten.

        Arguments
        ---------
        pathway : str | None
            Whose observations count from 0 again. None forgets all pathways
            and frees their memory.
        """
        if pathway is None:
            self._learned.clear()
            self._scratch = torch.empty(0)
        for learned in self._learned.get(pathway or "", {}).values():
            learned.seen = 0

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
        learned = self._learned.get(pathway, {})
        return max((entry.seen for entry in learned.values()), default=0)

    @torch.no_grad()
    def reduce(self, pathway: str) -> None:
        """Averages a pathway's scores over the ranks that observed it.

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
            name: RunningAverage(code, learned.values, 0.0, learned.seen)
            for name, learned in own.items()
            if learned.seen
        }
        for name, average in reduce_over_ranks(observed, code).items():
            learned = _Learned(average.values, average.seen)
            self._learned.setdefault(pathway, {})[name] = learned

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {
            "version": _VERSION,
            "learned": {
                pathway: {
                    name: {"values": entry.values, "seen": entry.seen}
                    for name, entry in entries.items()
                }
                for pathway, entries in self._learned.items()
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
            If the state is of another score or version.
        """
        if state.get("version") != _VERSION or "learned" not in state:
            raise UserError(
                "The state of a LearnedScore must have learned scores and "
                f"version {_VERSION}, got the keys "
                f"{', '.join(sorted(state)) or 'none'}."
            )
        self._learned = {
            pathway: {
                name: _Learned(entry["values"].clone(), entry["seen"])
                for name, entry in entries.items()
            }
            for pathway, entries in state["learned"].items()
        }

    def _find(self, pathway: str, name: str, weight: Tensor) -> _Learned:
        """Returns scores on the device of their weight; begins new ones."""
        entries = self._learned.setdefault(pathway, {})
        if name not in entries:
            entries[name] = _Learned(rank_shares(weight.abs()))
        learned = entries[name]
        learned.values = fitting(name, learned.values, weight)
        return learned

    def _slope(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Computes dL/da in scratch space, float32."""
        self._scratch = space_for(weight, self._scratch)
        slope = self._scratch[: weight.numel()].view(weight.shape)
        if weight.dtype == gradient.dtype == torch.float32:
            return torch.mul(weight, gradient, out=slope)
        # The copy widens half types before the product.
        return slope.copy_(gradient).mul_(weight)
