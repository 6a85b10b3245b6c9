"""Focal weights: pathways that do worse count for more in the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist

from leanbrain.checks import check_fraction
from leanbrain.pruning.ranks import is_distributed

__all__ = ["FocalWeights"]


class FocalWeights:
    """Weighs the loss of a batch by how its pathway does among the others.

    The weight of a pathway is (its loss / mean loss of the pathways) **
    gamma, with moving averages as losses, scaled so that the weights of the
    pathways seen have the mean 1: the step size stays what it was. Losses are
    compared as they are. Of those that sum over an utterance, such as CTC's,
    longer utterances give larger ones: their language counts for more, even
    if it is recognised as well as the others.

    Arguments
    ---------
    gamma : float
        0 gives all pathways the weight 1; the larger, the more the weak ones
        count.
    decay : float
        Weight of the past in the moving averages, in [0, 1).

    Reference
    ---------
    The idea of a focal, language-debiasing loss: arXiv 2210.14558; the focal
    loss itself, per example: Lin et al., arXiv 1708.02002.

    Example
    -------
    >>> weights = FocalWeights(gamma=1.0, decay=0.5)
    >>> weights.weigh("en", torch.tensor(1.0))
    tensor(1.)
    >>> weights.weigh("fr", torch.tensor(3.0))
    tensor(4.5000)
    >>> weights.weights()
    {'en': 0.5, 'fr': 1.5}
    """

    def __init__(self, gamma: float = 1.0, decay: float = 0.9) -> None:
        self.gamma = check_fraction("gamma", gamma, high=math.inf)
        self.decay = check_fraction("decay", decay, high_open=True)
        self._losses: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        # The last loss as it was, for those who report it.
        self.last: torch.Tensor | None = None

    def weigh(self, pathway: str, loss: torch.Tensor) -> torch.Tensor:
        """Weighs a training loss; every rank must call it for each batch.

        Arguments
        ---------
        pathway : str
            Whose batch it was.
        loss : torch.Tensor
            One number; NaN and infinity leave the averages as they are.

        Returns
        -------
        torch.Tensor
            The loss times the weight of its pathway.
        """
        self.last = loss.detach()
        for name, value in _from_all_ranks(pathway, float(self.last)):
            self._note(name, value)
        return loss * self.weights().get(pathway, 1.0)

    def weights(self) -> dict[str, float]:
        """The present weight of each pathway seen; their mean is 1."""
        mean = sum(self._losses.values()) / max(1, len(self._losses))
        if not mean:
            return dict.fromkeys(self._losses, 1.0)
        raw = {n: (x / mean) ** self.gamma for n, x in self._losses.items()}
        scale = len(raw) / sum(raw.values())
        return {name: scale * value for name, value in raw.items()}

    def _note(self, pathway: str, loss: float) -> None:
        if not math.isfinite(loss):
            return
        seen = self._seen[pathway] = self._seen.get(pathway, 0) + 1
        # Equal to the bias-corrected moving average.
        step = (1.0 - self.decay) / (1.0 - self.decay**seen)
        old = self._losses.get(pathway, 0.0)
        self._losses[pathway] = old + step * (max(loss, 0.0) - old)

    def state_dict(self) -> dict[str, Any]:
        """The averages and the number of batches behind each."""
        return {"losses": dict(self._losses), "seen": dict(self._seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``."""
        self._losses = dict(state["losses"])
        self._seen = dict(state["seen"])


def _from_all_ranks(pathway: str, loss: float) -> list[tuple[str, float]]:
    """This batch's loss and those of the other ranks, in rank order."""
    if not is_distributed():
        return [(pathway, loss)]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, (pathway, loss))
    return found
