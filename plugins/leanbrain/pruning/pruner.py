"""AdaptivePruner: finds and trains one sub-network per pathway in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from leanbrain._stats import as_number
from leanbrain.checks import UserError, check_callable
from leanbrain.masking.targets import Target
from leanbrain.pruning.adapting import freeze, update_masks
from leanbrain.pruning.allocation import shares as allocations
from leanbrain.pruning.guard.backing_off import close_step
from leanbrain.pruning.guard.guard import GUARD, LossGuard, LossWatch
from leanbrain.pruning.host.checkpoints import warn_if_sparse
from leanbrain.pruning.plan import PruningPlan
from leanbrain.pruning.progress_log import ProgressLog
from leanbrain.pruning.ranks import sum_over_ranks
from leanbrain.pruning.saving import load_state, state_of
from leanbrain.pruning.scores.gathering import Gathering
from leanbrain.pruning.selection import Initial, MaskSelector
from leanbrain.pruning.training import PathwayTraining
from leanbrain.pruning.turns import Turns
from leanbrain.pruning.updates.checks import rehearse
from leanbrain.pruning.updates.rules import prune_only

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.focal import FocalWeights
    from leanbrain.pruning.host.saved_files import SavedFiles
    from leanbrain.pruning.monitor.monitor import PruningMonitor
    from leanbrain.pruning.rewinding import Rewind

__all__ = ["AdaptivePruner"]


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
    initial : callable, optional
        First masks themselves in its place, see ``initial.MasksFromFiles``.
    allocation : callable
        Sparsity -> keep-count per parameter, see ``MaskSelector``.
    begin, heal, rounds
        See ``PruningPlan``. With more than one round, `interval` must divide
        the length of a round, so that updates fall on the ends of rounds.
    take_turns, min_batches
        See ``Turns``.
    observe_steps : int, optional
        Gradients are looked at in that many steps at the end of a turn only;
        default: in all of them. With 1, training costs what RigL's does.
    train_dormant : bool
        True trains masked weights too (dense gradients), until masks freeze.
    train_weights : bool
        False leaves the weights as they are: only masks and parameters that
        are not pruned learn. `begin` must be 0 then.
    keep_dormant : bool
        True revives weights with their last value, False with zero.
    rewind : Rewind, optional
        Puts back an early model after every update that took weights away.
    loss_weights : FocalWeights, optional
        Weighs the training loss of a batch by its pathway.
    guard : LossGuard or None
        Holds masks while the training loss is many times what it was, and
        stops a run whose loss stays there; None lets pruning go on.
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
        initial: Initial | None = None,
        allocation: Callable[..., dict[str, int]] = allocations.per_layer,
        begin: float = 0.0,
        heal: float = 0.25,
        rounds: int = 1,
        take_turns: bool = True,
        min_batches: int = 1,
        observe_steps: int | None = None,
        train_dormant: bool = False,
        train_weights: bool = True,
        keep_dormant: bool = True,
        rewind: Rewind | None = None,
        loss_weights: FocalWeights | None = None,
        guard: LossGuard | None = GUARD,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        monitor: PruningMonitor | None = None,
    ) -> None:
        self.plan = PruningPlan(schedule, total_steps, begin, heal, rounds)
        super().__init__(
            pathways,
            pathway_of,
            train_dormant,
            train_weights,
            include,
            exclude,
            groups,
        )
        if update is not None:
            rehearse(update, grows=growth is not None)
        self.update = update
        self.scores = Gathering.of(saliency, growth, first_saliency, initial)
        self.initial = initial
        self.allocation = check_callable("allocation", allocation)
        self.turns = Turns(
            self.pathways,
            interval,
            together=not take_turns,
            min_batches=min_batches,
            observe_steps=observe_steps,
        )
        self.plan.check_fits(
            self.turns.interval,
            fixed=update is None,
            shrinks=getattr(update, "func", update) is prune_only,
            grows=growth is not None,
            learns=self.train_weights,
        )
        self.rewind = rewind
        self.loss_weights = loss_weights
        self.guard = (
            None
            if guard is None
            else LossWatch(guard, self.pathways, total_steps)
        )
        self.keep_dormant = bool(keep_dormant)
        if not (self.keep_dormant or self.train_weights):
            raise UserError(
                "`keep_dormant` must be True when `train_weights` is False, "
                "got False: revived weights would change."
            )
        self.monitor = monitor
        self.log = ProgressLog(self)
        self.files: SavedFiles | None = None  # of the Checkpointer that saves
        self.step = 0
        self.settled: set[str] = set()  # pathways that have their first masks
        self.frozen = False
        self.gathering_first = False

    # -- connecting ---------------------------------------------------------

    def attach(
        self, brain: sb.Brain, monitor: PruningMonitor | None = None
    ) -> AdaptivePruner:
        """Connects the pruner to a Brain; call it before ``brain.fit``.

        A script that makes one Brain after the other on the same modules
        calls it for each: the pruner goes on where it was.

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
        from leanbrain.pruning.host.attach import attach

        self.monitor = monitor or self.monitor
        attach(self, brain)
        return self

    def manage(
        self,
        modules: torch.nn.Module | Mapping[str, torch.nn.Module],
        unsaved: Callable[[torch.nn.Parameter], bool] | None = None,
    ) -> None:
        """As of ``TargetChoice``."""
        super().manage(modules, unsaved)
        if self.rewind is not None:
            self.rewind.connect(modules, self.plan.round_length)

    def take_over(self, targets: Sequence[Target]) -> None:
        """Manages these parameters, dense ones, from now on."""
        super().take_over(targets)
        self.selector = MaskSelector(
            self.targets,
            self.masks,
            self.switch,
            self.update,
            self.scores,
            self.allocation,
            self.train_dormant,
            self.initial,
        )

    # -- when ---------------------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether masks are at work, or being gathered for."""
        return bool(self.settled) or self.gathering_first

    def start(self) -> None:
        """Takes the parameters as they are now and sets the first masks."""
        self.log.begin()
        self._remember()
        if self.started or self.step < self.plan.begin_step:
            return
        if self.step <= self.plan.begin_step:
            warn_if_sparse(self.targets)
        # Not yet known what to prune, if there is a choice.
        if self.trial is not None and len(self.targets) > 1:
            return
        self.switch.adopt()
        # Not when the trial ended: rounds are counted from there.
        self.turns.begin(self.plan.begin_step)
        self.gathering_first = True
        if not self.scores.tracked(first=True):
            # As planned, although the first steps showed what to prune.
            update_masks(self, self.pathways, at=self.plan.begin_step)
        if self.update is None and self.settled:
            freeze(self)

    def begin_early(self) -> bool:
        """Ends the trial with a closure's loss; whether masks began with it."""
        if self.trial is None or self.started:
            return False
        self.trial.note()
        if self.trial.is_over(self.device):
            self.end_trial()
            self.start()
        if self.started and self.pathway is not None:
            self._window.add(self.pathway)  # the batch came before the masks
        return self.started

    def observe(self, pathway: str, name: str, dense: torch.Tensor) -> None:
        """Gathers scores from a dense gradient, if it is the pathway's turn."""
        if self.frozen or not self.turns.observes(pathway, self.step):
            return
        first = pathway not in self.settled
        scale = self.loss_scale()
        unscaled = dense if scale == 1.0 else dense / scale
        theta = self.switch.dense(name, settled=True)
        if self.scores.observe(first, pathway, name, theta, unscaled):
            self._dense_gradient = True

    def finish_step(self) -> None:
        """Counts a real step and updates masks; parameters are at rest."""
        self.scores.end_window()
        if not self.take_step():
            return
        self.step += 1
        close_step(self)
        self._remember()
        if self.step == 2 and self.plan.rounds > 1:
            self.plan.warn_of_one_schedule()
        if self.step == self.plan.total_steps + 1:
            self.plan.warn_of_more_steps()
        if self.trial is not None:
            over = self.trial.is_over(self.device)
            if over or self.step >= self.plan.end_step:
                self.end_trial()
        fresh = not self.started
        if fresh:
            self.start()
        if not self.started or self.frozen:
            return
        if self.step >= self.plan.end_step:
            freeze(self)
            return
        if fresh:
            return
        due = self.turns.due(self.step, self._seen)
        if due:
            update_masks(self, due)

    def _seen(self, pathway: str) -> int:
        first = pathway not in self.settled
        seen = self.scores.seen(first, pathway, self.turns.min_batches)
        return sum_over_ranks(seen, self.device)

    def _remember(self) -> None:
        if self.rewind is None:
            return
        self.rewind.take(self.step, self.switch if self.started else None)
        if self.guard is not None and self.step == self.rewind.step:
            self.guard.levels.mark()

    def note_loss(self, step: int, pathway: str, loss: Any) -> None:
        """Passes the training loss of a batch on to the monitor, unweighed."""
        if self.monitor is not None:
            loss = self._unweighed(loss)
            self.monitor.note_loss(step, pathway, float(loss))

    def guard_loss(self, pathway: str, loss: Any) -> None:
        """Shows the training loss of a batch to the guard, before its step."""
        number = as_number(self._unweighed(loss))
        if self.guard is not None and number is not None:
            self.guard.note(pathway, number)

    def _unweighed(self, loss: Any) -> Any:
        if self.loss_weights is None or self.loss_weights.last is None:
            return loss
        return self.loss_weights.last

    # -- saving -------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything beyond the parameters that a resumed run needs."""
        return state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict``; the parameters are loaded before."""
        load_state(self, state)
