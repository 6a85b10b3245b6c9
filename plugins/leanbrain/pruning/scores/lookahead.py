"""LookAhead: the magnitude that weights would have after more training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_positive
from leanbrain.pruning.scores.gradient_averages import GradientAverages
from leanbrain.pruning.scores.observing import check_gradient

__all__ = ["LookAhead"]

_VERSION = 1


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
        self._averages = GradientAverages(decay)

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
        return self._averages.observe(pathway, name, weight, gradient)

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
        rms = float(torch.linalg.vector_norm(ahead)) / ahead.numel() ** 0.5
        self._averages.move(ahead, pathway, name, most=self.step * rms)
        return ahead.abs_()

    def reset(self, pathway: str | None = None) -> None:
        """Counts anew; the averages stay unless all is to be forgotten.

        Arguments
        ---------
        pathway : str | None
            Whose observations count from 0 again. None forgets all pathways
            and frees their memory.
        """
        self._averages.reset(pathway)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether a pathway has observed a parameter."""
        return self._averages.knows(pathway, name)

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
        return self._averages.seen(pathway)

    def reduce(self, pathway: str) -> None:
        """Averages a pathway over ranks, by their batches since the last reset.

        Every rank must call it at the same point; all then hold the same and
        count as many batches as the one with most. A single process: no-op.

        Arguments
        ---------
        pathway : str
            Which one; ranks that saw nothing receive the average too.
        """
        self._averages.reduce(pathway)

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        return self._averages.holds(sizes, pathways)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            The tensors are the live ones: save or copy them at once.
        """
        return {"version": _VERSION, **self._averages.state_dict()}

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
        self._averages.load_state_dict(state)
