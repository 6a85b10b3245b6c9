"""Which pathways gather scores now, and which are updated after this step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from leanbrain.checks import check_int

__all__ = ["Turns"]


class Turns:
    """Pathways take turns: one gathers its score and is updated, then the next.

    Taking turns keeps a single score buffer alive instead of one per pathway.
    A turn lasts at least ``interval`` optimizer steps and until the pathway
    was seen in ``min_batches`` batches; rare pathways so get longer turns
    instead of noisier scores. A pathway that stays unseen for ``patience``
    intervals is passed over, so that the others go on.

    Arguments
    ---------
    pathways : sequence of str
        In the order of the turns.
    interval : int
        Optimizer steps of a turn, at least 1.
    together : bool
        True lets all pathways gather and be updated at once.
    min_batches : int
        Batches of a pathway below which its turn goes on.
    patience : int
        Intervals after which a turn ends in any case.
    observe_steps : int, optional
        Optimizer steps at the end of a turn in which gradients are looked at;
        all of them by default. A turn that is longer than its interval, since
        its pathway was not seen, looks until its end.

    Example
    -------
    >>> turns = Turns(["en", "fr"], interval=2, min_batches=1)
    >>> turns.gathering()
    ('en',)
    >>> turns.due(1, lambda pathway: 1), turns.due(2, lambda pathway: 1)
    ((), ('en',))
    >>> turns.gathering()
    ('fr',)
    """

    def __init__(
        self,
        pathways: Sequence[str],
        interval: int,
        together: bool = False,
        min_batches: int = 1,
        patience: int = 10,
        observe_steps: int | None = None,
    ) -> None:
        self.pathways = tuple(pathways)
        self.interval = check_int("interval", interval, low=1)
        self.together = bool(together)
        self.min_batches = check_int("min_batches", min_batches, low=0)
        self.patience = check_int("patience", patience, low=1)
        self.observe_steps = (
            self.interval
            if observe_steps is None
            else check_int("observe_steps", observe_steps, low=1)
        )
        self.current = 0
        self.since = 0

    def begin(self, step: int) -> None:
        """Starts the first turn at this step."""
        self.current, self.since = 0, step

    def gathering(self) -> tuple[str, ...]:
        """The pathways whose scores are gathered at present."""
        if self.together:
            return self.pathways
        return (self.pathways[self.current],)

    def observes(self, pathway: str, step: int) -> bool:
        """Whether a pathway's gradients are looked at after ``step`` steps."""
        if pathway not in self.gathering():
            return False
        return self.since + self.interval - step <= self.observe_steps

    def due(self, step: int, seen: Callable[[str], int]) -> tuple[str, ...]:
        """The pathways to update after ``step``; moves on to the next turn.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        seen : callable
            Pathway -> batches seen in this turn; asked only when the interval
            has passed, at the same step on all ranks.

        Returns
        -------
        tuple of str
        """
        elapsed = step - self.since
        if elapsed < self.interval:
            return ()
        gathering = self.gathering()
        waiting = any(seen(name) < self.min_batches for name in gathering)
        if waiting and elapsed < self.patience * self.interval:
            return ()
        self.since = step
        if not self.together:
            self.current = (self.current + 1) % len(self.pathways)
        return gathering

    def state_dict(self) -> dict[str, Any]:
        """Whose turn it is and since when."""
        return {"current": self.current, "since": self.since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues where ``state_dict`` was taken."""
        self.current, self.since = state["current"], state["since"]
