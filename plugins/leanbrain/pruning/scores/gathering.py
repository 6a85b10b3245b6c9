"""The scores of a pruner: which of them gather gradients, and for whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from leanbrain.checks import UserError, check_callable
from leanbrain.pruning.scores.basic import Magnitude

__all__ = ["Gathering"]


class Gathering:
    """Three roles of scores, of which some learn from gradients.

    A score is any object with ``value(pathway, name, weight)``,
    ``state_dict`` and ``load_state_dict``; one with ``holds`` tells its memory
    to whoever asks before a run. One whose ``wants_gradient`` is
    True is shown every dense gradient of the turn and has ``observe``,
    ``knows``, ``seen``, ``reduce`` and ``reset`` as well, as `TrackedScore`;
    one with ``end_window`` is told when the gradients of a step are complete.
    One whose ``within_tensors`` is True ranks the entries of a tensor, and says
    nothing of those of others.

    Arguments
    ---------
    saliency : score
        What is worth keeping.
    growth : score or None
        What is worth reviving.
    first_saliency : score or None
        What is worth keeping in the first masks of a pathway; None if those
        are given.
    """

    ROLES = ("saliency", "growth", "first_saliency")

    def __init__(self, saliency: Any, growth: Any, first_saliency: Any) -> None:
        self.saliency = saliency
        self.growth = growth
        self.first_saliency = first_saliency

    @classmethod
    def of(
        cls, saliency: Any, growth: Any, first_saliency: Any, initial: Any
    ) -> Gathering:
        """The scores as a user names them.

        Arguments
        ---------
        saliency : score or None
            None: magnitude.
        growth : score or None
            As for the constructor.
        first_saliency : score or None
            None: `saliency`, if there are no first masks.
        initial : callable or None
            What gives the first masks, if they need no score.

        Returns
        -------
        Gathering

        Raises
        ------
        UserError
            If first masks are given and a score for them too.
        """
        saliency = saliency or Magnitude()
        if initial is None:
            return cls(saliency, growth, first_saliency or saliency)
        check_callable("initial", initial)
        if first_saliency is not None:
            raise UserError(
                "`initial` must be null where `first_saliency` is set, got "
                "both."
            )
        return cls(saliency, growth, None)

    def tracked(self, first: bool | None = None) -> list[Any]:
        """The gradient scores, each once.

        Arguments
        ---------
        first : bool or None
            True: of a pathway's first masks; False: of the later ones; None:
            of both.

        Returns
        -------
        list of scores
        """
        roles = {
            True: (self.first_saliency,),
            False: (self.saliency, self.growth),
            None: (self.saliency, self.growth, self.first_saliency),
        }[first]
        found = {id(s): s for s in roles if _wants_gradient(s)}
        return list(found.values())

    def holds(
        self, sizes: Sequence[int], pathways: int, at_once: int
    ) -> int | None:
        """The most bytes that the scores keep; None if one does not tell.

        Arguments
        ---------
        sizes, pathways, at_once
            As for ``TrackedScore.holds``.

        Returns
        -------
        int or None
        """
        roles = (self.saliency, self.growth, self.first_saliency)
        scores = {id(s): s for s in roles if s is not None}.values()
        if not all(hasattr(score, "holds") for score in scores):
            return None
        return sum(s.holds(sizes, pathways, at_once) for s in scores)

    def blind(self, pathway: str) -> bool:
        """Whether growth needs gradients and has seen none of a pathway."""
        wants = _wants_gradient(self.growth)
        return wants and not self.growth.seen(pathway)

    def informed(self, pathway: str, names: Iterable[str]) -> bool:
        """Whether saliency needs no gradient, or knows some of a pathway."""
        if not _wants_gradient(self.saliency):
            return True
        return any(self.saliency.knows(pathway, name) for name in names)

    @staticmethod
    def informed_of(score: Any, pathway: str, name: str) -> bool:
        """Whether a score has all that it needs of a parameter.

        Layer drop and branches of a single language leave gradients out.
        """
        return not _wants_gradient(score) or score.knows(pathway, name)

    def usable(self, score: Any, pathway: str, name: str) -> Any:
        """A gradient score that saw nothing of a weight gives way to magnitude.

        Of one parameter alone: magnitudes do not compare with other scores.
        """
        known = self.informed_of(score, pathway, name)
        return score if known else Magnitude()

    def observe(
        self,
        first: bool,
        pathway: str,
        name: str,
        weight: torch.Tensor,
        gradient: torch.Tensor,
    ) -> bool:
        """Takes in a dense gradient of a micro-batch; whether one was needed.

        The gradient is unscaled.
        """
        tracked = self.tracked(first)
        for score in tracked:
            score.observe(pathway, name, weight, gradient)
        return bool(tracked)

    def end_window(self) -> None:
        """Tells those that ask for it that a step was made."""
        for score in self.tracked():
            if hasattr(score, "end_window"):
                score.end_window()

    def seen(self, first: bool, pathway: str, otherwise: int) -> int:
        """Batches seen by the least informed score; `otherwise` if none."""
        counts = [score.seen(pathway) for score in self.tracked(first)]
        return min(counts, default=otherwise)

    def reduce(self, first: bool, pathway: str) -> None:
        """Averages over ranks; every rank must call it at the same point."""
        for score in self.tracked(first):
            score.reduce(pathway)

    def reset(self, *pathway: str) -> None:
        """Forgets pathways, or all without one, and frees their memory."""
        for score in self.tracked():
            score.reset(*pathway)

    def state_dict(self) -> dict[str, Any]:
        """States of the scores by role, of those that have one."""
        states = {
            role: getattr(self, role).state_dict()
            for role in self.ROLES
            if getattr(self, role) is not None
        }
        return {role: state for role, state in states.items() if state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``."""
        own = list(self.state_dict())
        if sorted(own) != sorted(state):
            raise UserError(
                "A pruning run must be continued with the scores that it "
                f"began with, {', '.join(sorted(state)) or 'none'}; got "
                f"{', '.join(sorted(own)) or 'none'}."
            )
        for role in own:
            getattr(self, role).load_state_dict(state[role])


def _wants_gradient(score: Any) -> bool:
    """Whether a score is to be shown gradients; None is no score."""
    return bool(getattr(score, "wants_gradient", False))
