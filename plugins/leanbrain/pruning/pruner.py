"""AdaptivePruner: finds and trains one sub-network per pathway in one run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError, check_callable
from leanbrain.pruning import allocation as allocations
from leanbrain.pruning.checkpoints import warn_if_sparse
from leanbrain.pruning.gathering import Gathering
from leanbrain.pruning.plan import PruningPlan
from leanbrain.pruning.ranks import (
    agree_on_digest,
    is_distributed,
    sum_over_ranks,
)
from leanbrain.pruning.scores import Magnitude
from leanbrain.pruning.selection import MaskSelector
from leanbrain.pruning.training import PathwayTraining
from leanbrain.pruning.turns import Turns
from leanbrain.pruning.updates import prune_only

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.monitor import PruningMonitor

__all__ = ["AdaptivePruner"]

logger = logging.getLogger(__name__)


class AdaptivePruner(PathwayTraining):
    """Masks the weights of a model per pathway and adapts the masks.

    One line connects it: ``hparams["pruner"].attach(brain)`` before
    ``brain.fit``. The parameters, their names and the state-dict keys stay
    as they are; between batches the parameters hold the union of all
    pathways, so that every checkpoint is the sparse model itself. Weights
    outside keep their last value aside and may be revived by a later update.

    Arguments
    ---------
    schedule : callable
        Progress in [0, 1] -> sparsity in [0, 1), see ``schedules``.
    total_steps : int
        Optimizer steps of the run.
    interval : int
        Optimizer steps between mask updates (of one turn, see ``Turns``).
    pathways : sequence of str
        Names of the sub-networks, usually languages.
    pathway_of : callable, optional
        Batch -> pathway. Default: the one value in ``batch.lang``; with a
        single pathway the batch is not looked at.
    update : callable or None
        See ``updates``. None keeps the first masks for good.
    saliency : Score, optional
        What is worth keeping; ``Magnitude()`` by default.
    growth : Score, optional
        What is worth reviving, for updates that grow: the EMA of the
        pathway's own gradient, say. With a score that does not tell pathways
        apart all masks become the same.
    first_saliency : Score, optional
        Score of the first masks; default: ``saliency``. One that needs
        gradients lets a pathway stay dense until its first turn is over.
    allocation : callable
        Sparsity -> keep-count per parameter, see ``allocation``.
    begin, heal : float
        Share of the run before the first masks, and with frozen masks at the
        end; their sum must be below 1.
    take_turns, min_batches
        See ``Turns``.
    train_dormant : bool
        True trains masked weights too (dense gradients).
    keep_dormant : bool
        True revives weights with their last value, False with zero.
    include, exclude, groups
        See ``select_targets``.
    monitor : PruningMonitor, optional
        Receives what happened at every update.

    Reference
    ---------
    Xie et al., "Dynamic ASR Pathways", arXiv 2309.13018: masks that adapt in
    one run. Drop-and-grow: Evci et al., arXiv 1911.11134, algorithm 1.
    """

    def __init__(
        self,
        schedule: Callable[[float], float],
        total_steps: int,
        interval: int,
        pathways: Sequence[str] = ("all",),
        pathway_of: Callable[[Any], str] | None = None,
        update: Callable[..., torch.Tensor] | None = prune_only,
        saliency: Any = None,
        growth: Any = None,
        first_saliency: Any = None,
        allocation: Callable[..., dict[str, int]] = allocations.per_layer,
        begin: float = 0.0,
        heal: float = 0.25,
        take_turns: bool = True,
        min_batches: int = 1,
        train_dormant: bool = False,
        keep_dormant: bool = True,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        monitor: PruningMonitor | None = None,
    ) -> None:
        self.plan = PruningPlan(schedule, total_steps, begin, heal)
        if update is None and not self.plan.is_constant():
            raise UserError(
                "`schedule` must be constant when `update` is null, got "
                f"{schedule(0.0)} at the start and {schedule(1.0)} at the end."
            )
        super().__init__(
            pathways, pathway_of, train_dormant, include, exclude, groups
        )
        self.update = update
        saliency = saliency or Magnitude()
        self.scores = Gathering(saliency, growth, first_saliency or saliency)
        self.allocation = check_callable("allocation", allocation)
        self.turns = Turns(
            self.pathways,
            interval,
            together=not take_turns,
            min_batches=min_batches,
        )
        self.keep_dormant = bool(keep_dormant)
        self.monitor = monitor
        self.step = 0
        self.settled: set[str] = set()  # pathways that have their first masks
        self.frozen = False
        self._gathering_first = False

    # -- connecting ---------------------------------------------------------

    def attach(
        self, brain: sb.Brain, monitor: PruningMonitor | None = None
    ) -> AdaptivePruner:
        """Connects the pruner to a Brain; call it before ``brain.fit``.

        Arguments
        ---------
        brain : sb.Brain
            Its parameters are taken as they are now.
        monitor : PruningMonitor, optional
            As for the constructor.

        Returns
        -------
        AdaptivePruner
            The pruner itself.
        """
        from leanbrain.pruning.attach import attach

        self.monitor = monitor or self.monitor
        attach(self, brain)
        return self

    def manage(
        self, modules: torch.nn.Module | Mapping[str, torch.nn.Module]
    ) -> None:
        """Chooses the parameters and takes them over, still dense."""
        super().manage(modules)
        self.selector = MaskSelector(
            self.targets,
            self.masks,
            self.switch,
            self.update,
            self.scores,
            self.allocation,
            self.train_dormant,
        )

    # -- when ---------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether masks are at work, or being gathered for."""
        return bool(self.settled) or self._gathering_first

    def start(self) -> None:
        """Takes the parameters as they are now and sets the first masks."""
        if self.started or self.step < self.plan.begin_step:
            return
        warn_if_sparse(self.targets)
        self.switch.adopt()
        self.turns.begin(self.step)
        self._gathering_first = True
        if not self.scores.tracked(first=True):
            self._update(self.pathways)
        if self.update is None and self.settled:
            self._freeze()

    def observe(self, pathway: str, name: str, dense: torch.Tensor) -> None:
        """Gathers scores from a dense gradient, if it is the pathway's turn."""
        if self.frozen or pathway not in self.turns.gathering():
            return
        scale = self.loss_scale()
        unscaled = dense if scale == 1.0 else dense / scale
        theta = self.switch.dense(name)
        first = pathway not in self.settled
        self.scores.observe(first, pathway, name, theta, unscaled)

    def finish_step(self) -> None:
        """Counts a real step and updates masks; parameters are at rest."""
        if not self.take_step():
            return
        self.step += 1
        if not self.started:
            self.start()
        if not self.started or self.frozen:
            return
        if self.step >= self.plan.end_step:
            self._freeze()
            return
        due = self.turns.due(self.step, self._seen)
        if due:
            self._update(due)

    def _seen(self, pathway: str) -> int:
        first = pathway not in self.settled
        seen = self.scores.seen(first, pathway, self.turns.min_batches)
        return sum_over_ranks(seen, self.device)

    def note_loss(self, step: int, pathway: str, loss: Any) -> None:
        """Passes the training loss of a batch on to the monitor."""
        if self.monitor is not None:
            self.monitor.note_loss(step, pathway, float(loss))

    # -- mask updates -------------------------------------------------------

    def _update(self, due: Sequence[str], final: bool = False) -> None:
        """New masks for some pathways, at the sparsity of the plan."""
        before = self.masks.clone()
        progress = 1.0 if final else self.plan.progress(self.step)
        sparsity = float(self.plan.schedule(progress))
        for pathway in due:
            first = pathway not in self.settled
            if not final and not self.scores.seen(first, pathway, 1):
                logger.warning(
                    "No batch of %s was seen in its turn: pruned by saliency "
                    "alone at step %d.",
                    pathway,
                    self.step,
                )
            self.scores.reduce(pathway not in self.settled, pathway)
            if pathway not in self.settled:
                self.selector.first(pathway, sparsity)
            elif final:
                self.selector.finish(pathway, sparsity)
            else:
                self.selector.adapt(pathway, sparsity, progress)
            self.settled.add(pathway)
            self.scores.reset(pathway)
        self.selector.revive(before.union(), self.owners, self.keep_dormant)
        self.switch.refresh()
        if is_distributed():
            agree_on_digest(self.masks.digest())
        if self.monitor is not None:
            self.monitor.on_update(
                self.step, due, before, self.masks, self.targets, sparsity
            )

    def _freeze(self) -> None:
        """The last update: final counts by saliency; masks stay from here."""
        unsettled = [p for p in self.pathways if p not in self.settled]
        if unsettled:
            logger.warning(
                "No batch of %s was seen in time: pruned by saliency alone.",
                ", ".join(unsettled),
            )
        if self.update is not None or unsettled:
            self._update(self.pathways, final=True)
        self.frozen = True
        self.scores.reset()

    # -- saving -------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything beyond the parameters that a resumed run needs."""
        return {
            "step": self.step,
            "settled": sorted(self.settled),
            "gathering_first": self._gathering_first,
            "frozen": self.frozen,
            "turns": self.turns.state_dict(),
            "masks": self.masks.state_dict(),
            "dormant": self.switch.dormant() if self.started else {},
            "scores": self.scores.state_dict(),
            "monitor": self.monitor.state_dict() if self.monitor else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``; the parameters are loaded before."""
        self.masks.load_state_dict(state["masks"])
        self.step = state["step"]
        self.settled = set(state["settled"])
        self._gathering_first = state["gathering_first"]
        self.frozen = state["frozen"]
        self.turns.load_state_dict(state["turns"])
        self.scores.load_state_dict(state["scores"])
        if self.started:
            self.switch.load_dormant(state["dormant"])
        if self.monitor is not None and state["monitor"]:
            self.monitor.load_state_dict(state["monitor"])
