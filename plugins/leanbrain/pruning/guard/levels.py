"""How high the training loss of each pathway is, and how high it should be."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

__all__ = ["LossLevels"]

RECENT = 5  # batches whose median is the loss at present
LIFT = 3.0  # times a pathway's best, up to the mean over pathways
SLOW = 0.9  # weight of the past in the means whose best is kept


class LossLevels:
    """Losses of the pathways at present, each beside the best of its past.

    The loss at present is the median of five batches: one that cannot be
    recognised says nothing of the model. The best is that of a moving average;
    it begins with the dense model and falls as training goes on. One of n
    batches counts 1 + 1/n times: a run whose first masks come after one step
    has seen the dense model in a single batch, and losses of single batches
    differ by a factor of two. A pathway that was not seen
    before its masks has no best of its own, until its loss is no longer far
    above that of the others: it may be broken, or new to the model. Where a
    loss is ever negative, nothing is compared: there is no "ten times" then.

    Arguments
    ---------
    factor : float
        How far above: see `LossGuard`.
    floor : float
        Lower losses count as this.

    Example
    -------
    >>> levels = LossLevels(factor=10.0, floor=0.1)
    >>> for loss in (0.5, 0.5, 0.5, 0.5):
    ...     levels.note("en", loss, dense=True)
    >>> levels.reference("en")
    0.625
    >>> for loss in (8.0, 8.0, 8.0):
    ...     levels.note("en", loss, dense=False)
    >>> levels.ratio("en")
    12.8
    """

    def __init__(self, factor: float, floor: float) -> None:
        self.factor, self.floor = factor, floor
        self._seen: dict[str, int] = {}
        self._last: dict[str, list[float]] = {}
        self._slow: dict[str, float] = {}
        self._best: dict[str, float] = {}
        self._early: dict[str, float] = {}  # the best to rewind to
        self._strangers: set[str] = set()  # first seen behind masks
        self._signed = False  # whether a loss was negative

    def note(self, pathway: str, loss: float, dense: bool) -> None:
        """Takes the loss of a step's batches; NaN and infinity are left out.

        Arguments
        ---------
        pathway : str
            Whose batches they were.
        loss : float
            Their mean.
        dense : bool
            Whether the pathway has all of its weights yet; it makes no
            difference to one that has a best of its own.
        """
        if not math.isfinite(loss):
            return
        self._signed |= loss < 0
        last = self._last.setdefault(pathway, [])
        last.append(loss)
        del last[:-RECENT]
        n = self._seen[pathway] = self._seen.get(pathway, 0) + 1
        old = self._slow.get(pathway, 0.0)
        # Equal to the bias-corrected moving average.
        step = (1.0 - SLOW) / (1.0 - SLOW**n)
        self._slow[pathway] = old + step * (loss - old)
        if pathway not in self._best and self._best and not dense:
            self._strangers.add(pathway)
            if not self._is_near(pathway):
                return
        best = self._best.get(pathway, math.inf)
        sure = self._slow[pathway] * (1.0 + 1.0 / n)
        self._best[pathway] = min(best, sure)
        self._early.setdefault(pathway, self._best[pathway])

    def restart(self, pathway: str) -> None:
        """What was smoothed is of a model that is no more: masks are new."""
        self._last.pop(pathway, None)

    def mark(self) -> None:
        """The model is copied as it is now, to be put back."""
        self._early = dict(self._best)

    def rewind(self) -> None:
        """The copy was put back; without a mark, that of the first losses."""
        best = dict(self._early)
        strangers = set(self._strangers)
        self.forget()
        self._best, self._early = best, dict(best)
        self._strangers = strangers

    def forget(self) -> None:
        """Other losses follow, of another training."""
        self._strangers.clear()
        self._last.clear()
        self._seen.clear()
        for kept in (self._best, self._early, self._slow):
            kept.clear()

    def knows(self, pathway: str) -> bool:
        """Whether a pathway has a best of its own."""
        return pathway in self._best

    def level(self, pathway: str) -> float:
        """The loss of a pathway at present; 0 if it was not seen."""
        return median(self._last.get(pathway) or [0.0])

    def reference(self, pathway: str) -> float:
        """What the loss of a pathway is compared with; infinite if nothing.

        The mean over pathways, which is less of chance, may lift it up to
        three times. Not more: the learning rate may have spoilt all others
        before they were seen.
        """
        common = self.common()
        if math.isinf(common):
            return common
        if pathway in self._best:
            own = self._best[pathway]
            return max(self.floor, own, min(common, LIFT * own))
        return common if self._all_known_are_far() else math.inf

    def ratio(self, pathway: str) -> float:
        """How many times its reference the loss of a pathway is."""
        if self._signed:
            return 0.0
        return self.level(pathway) / self.reference(pathway)

    def beside_others(self, pathway: str) -> float:
        """How many times the others' best one first seen behind masks is."""
        if self._signed or pathway not in self._strangers:
            return 0.0
        return self.level(pathway) / self.common()

    def common(self) -> float:
        """Mean best loss of the pathways; infinite if there is none."""
        own = [x for p, x in self._best.items() if p not in self._strangers]
        return max(self.floor, sum(own) / len(own)) if own else math.inf

    def _is_near(self, pathway: str) -> bool:
        """Whether one without a best is not far above the others."""
        return self.level(pathway) < self.factor * self.common() < math.inf

    def _all_known_are_far(self) -> bool:
        known = [p for p in self._best if self._last.get(p)]
        return all(
            self.level(p) >= self.factor / 2 * self.reference(p) for p in known
        )

    def state_dict(self) -> dict[str, Any]:
        """Averages, and what they are compared with."""
        return {
            "signed": self._signed,
            "seen": dict(self._seen),
            "last": {p: list(x) for p, x in self._last.items()},
            "slow": dict(self._slow),
            "best": dict(self._best),
            "early": dict(self._early),
            "strangers": sorted(self._strangers),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``."""
        self._signed = state["signed"]
        self._last = {p: list(x) for p, x in state["last"].items()}
        self._seen = dict(state["seen"])
        self._slow, self._best = dict(state["slow"]), dict(state["best"])
        self._early = dict(state["early"])
        self._strangers = set(state["strangers"])
