"""The scores of a pruner: which of them gather gradients, and for whom."""

from __future__ import annotations

from typing import Any

import torch

from leanbrain.checks import UserError
from leanbrain.pruning.tracking import TrackedScore

__all__ = ["Gathering"]


class Gathering:
    """Three roles of scores, of which some are averages of gradients.

    Arguments
    ---------
    saliency : score
        What is worth keeping.
    growth : score or None
        What is worth reviving.
    first_saliency : score
        What is worth keeping in the first masks of a pathway.
    """

    ROLES = ("saliency", "growth", "first_saliency")

    def __init__(self, saliency: Any, growth: Any, first_saliency: Any) -> None:
        self.saliency = saliency
        self.growth = growth
        self.first_saliency = first_saliency

    def tracked(self, first: bool | None = None) -> list[TrackedScore]:
        """The gradient scores, each once.

        Arguments
        ---------
        first : bool or None
            True: of a pathway's first masks; False: of the later ones; None:
            of both.

        Returns
        -------
        list of TrackedScore
        """
        roles = {
            True: (self.first_saliency,),
            False: (self.saliency, self.growth),
            None: (self.saliency, self.growth, self.first_saliency),
        }[first]
        found = {id(s): s for s in roles if isinstance(s, TrackedScore)}
        return list(found.values())

    def observe(
        self,
        first: bool,
        pathway: str,
        name: str,
        weight: torch.Tensor,
        gradient: torch.Tensor,
    ) -> None:
        """Takes in a dense, unscaled gradient of a micro-batch."""
        for score in self.tracked(first):
            score.observe(pathway, name, weight, gradient)

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
        """States of the gradient scores by role."""
        return {
            role: getattr(self, role).state_dict()
            for role in self.ROLES
            if isinstance(getattr(self, role), TrackedScore)
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``."""
        own = [
            role
            for role in self.ROLES
            if isinstance(getattr(self, role), TrackedScore)
        ]
        if sorted(own) != sorted(state):
            raise UserError(
                "A pruning run must be continued with the scores that it "
                f"began with, {', '.join(sorted(state)) or 'none'}; got "
                f"{', '.join(sorted(own)) or 'none'}."
            )
        for role in own:
            getattr(self, role).load_state_dict(state[role])
