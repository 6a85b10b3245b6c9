"""The guard over the training loss: which masks it holds, when it stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import check_fraction
from leanbrain.pruning.guard.levels import LossLevels
from leanbrain.pruning.guard.stretches import Stretches

__all__ = ["GUARD", "LossGuard", "LossWatch"]


@dataclass(frozen=True)
class LossGuard:
    """From where on a loss says that pruning has broken the model.

    Arguments
    ---------
    factor : float
        A pathway is broken while its loss is that many times the best of its
        past. Then no more of its weights are removed.
    floor : float
        Losses below it count as this one, in the unit of the loss: an overfit
        model at 0.001 may go to 0.5 and be as good as before. That of cross
        entropies by default.
    stretch : float
        Share of the run in which the loss of a broken pathway has to fall by
        3 %. After a stretch in which it did not, no weights are exchanged for
        others any more, until it has recovered; after two of them training
        stops. A stretch has ten batches of the pathway at least.

    Example
    -------
    >>> LossGuard(factor=5.0)
    LossGuard(factor=5.0, floor=0.1, stretch=0.1)
    """

    factor: float = 10.0
    floor: float = 0.1
    stretch: float = 0.1

    def __post_init__(self) -> None:
        """Checks the settings."""
        check_fraction("factor", self.factor, low=2.0, high=math.inf)
        check_fraction("floor", self.floor, high=math.inf)
        check_fraction("stretch", self.stretch)


GUARD = LossGuard()  # of a pruner that is given none


class LossWatch:
    """What the guard of one run has seen and done.

    Ranks decide alike, as all are given the means over ranks.

    Arguments
    ---------
    guard : LossGuard
        The thresholds.
    pathways : sequence of str
        Names of the sub-networks.
    total_steps : int
        Optimizer steps of the run.
    """

    def __init__(
        self, guard: LossGuard, pathways: Sequence[str], total_steps: int
    ) -> None:
        self.guard = guard
        self.levels = LossLevels(guard.factor, guard.floor)
        self._length = max(1, round(guard.stretch * total_steps))
        self._falling: dict[str, Stretches] = {}  # of broken pathways
        self.lag = dict.fromkeys(pathways, 0)  # steps that masks were held
        self.held: dict[str, int] = {}  # pathway -> since when
        self.worst: dict[str, float] = {}  # highest level while held
        self._due: dict[str, int] = {}  # the step of the last update
        # Sums and counts since the last step, of this rank.
        self.pending: dict[str, list[float]] = {}

    def note(self, pathway: str, loss: float) -> None:
        """Takes the loss of a batch of this rank."""
        if math.isfinite(loss):
            entry = self.pending.setdefault(pathway, [0.0, 0.0])
            entry[0] += loss
            entry[1] += 1.0

    def is_broken(self, pathway: str, share: float = 1.0) -> bool:
        """Whether its loss is (that share of) `factor` times its best."""
        return self.levels.ratio(pathway) >= share * self.guard.factor

    def stuck(self, step: int, losses: dict[str, float]) -> str | None:
        """Takes a step's losses; names a pathway that is broken for good.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        losses : dict
            Pathway -> mean loss of its batches, after they were noted as
            levels.

        Returns
        -------
        str or None
        """
        found = None
        for pathway, loss in losses.items():
            if not self.is_broken(pathway):
                self._falling.pop(pathway, None)
                continue
            stretches = self._falling.setdefault(
                pathway, Stretches(self._length)
            )
            if stretches.note(step - 1, loss):
                found = found or pathway
        return found

    def since(self, pathway: str) -> int | None:
        """The step from which on a pathway is broken."""
        falling = self._falling.get(pathway)
        return None if falling is None else falling.begun

    def holds(
        self,
        step: int,
        pathway: str,
        *,
        rises: bool,
        exchanges: bool,
        final: bool = False,
    ) -> bool:
        """Whether an update of a pathway is left out.

        The schedule of one whose loss is too high to lose weights waits. To
        exchange some at the same sparsity may be what mends the damage of a
        first cut: that goes on until a broken pathway has not recovered by it
        in a whole stretch.

        Arguments
        ---------
        step : int
            Optimizer steps done.
        pathway : str
            Whose turn it is.
        rises : bool
            Whether it would lose weights.
        exchanges : bool
            Whether others take the place of some.
        final : bool
            Whether it is the last update.

        Returns
        -------
        bool
        """
        before = self._due.get(pathway, step)
        self._due[pathway] = step
        if self.is_calm(pathway, final):
            held = False
        elif rises:
            held = self.is_broken(pathway)
            self.lag[pathway] += (step - before) * held
        else:
            # Shared weights train through all masks: those of one language
            # may be what breaks another.
            held = exchanges and self._hurts(pathway, final)
        if not held:
            self.held.pop(pathway, None)
            return False
        self.held.setdefault(pathway, step)
        level = self.levels.level(pathway)
        self.worst[pathway] = max(level, self.worst.get(pathway, 0.0))
        return True

    def is_calm(self, pathway: str, final: bool) -> bool:
        """Whether nothing can hold an update of a pathway."""
        return not (self.is_broken(pathway) or self._hurts(pathway, final))

    def _hurts(self, pathway: str, final: bool) -> bool:
        """Whether moves do not heal; none is made at last where they did."""
        struck = any(x.struck for x in self._falling.values())
        return struck or (final and pathway in self.worst)

    def begins(self, step: int, pathway: str) -> None:
        """A pathway gets its first masks, which nothing holds."""
        self._due[pathway] = step
        self.levels.restart(pathway)

    def state_dict(self) -> dict[str, Any]:
        """What was seen and done; losses of no step yet are left out."""
        return {
            "levels": self.levels.state_dict(),
            "falling": {p: x.state_dict() for p, x in self._falling.items()},
            "lag": dict(self.lag),
            "held": dict(self.held),
            "worst": dict(self.worst),
            "due": dict(self._due),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``."""
        self.levels.load_state_dict(state["levels"])
        self._falling = {}
        for pathway, saved in state["falling"].items():
            self._falling[pathway] = Stretches(self._length)
            self._falling[pathway].load_state_dict(saved)
        self.lag, self.held = dict(state["lag"]), dict(state["held"])
        self.worst, self._due = dict(state["worst"]), dict(state["due"])
        self.pending = {}
