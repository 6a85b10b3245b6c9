"""How a pruner plugs into a SpeechBrain Brain: wrapped instance methods.

SpeechBrain 1.1 has no callbacks, and recipe classes override the stage hooks
without calling super(). Attributes set on the *instance* win over any class,
so that the recipe's own methods keep working and need no change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.pruning.guard.backing_off import may_switch_off, say_end
from leanbrain.pruning.host.checkpoints import CHECKPOINT_NAME
from leanbrain.pruning.host.curves import listen, own_monitor
from leanbrain.pruning.host.outcome import sentence_on
from leanbrain.pruning.host.owned import (
    optimizers_of,
    unowned,
    unsaved_by,
    warn_of_frozen,
    warn_of_new,
)
from leanbrain.pruning.host.saved_files import SavedFiles

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.focal import FocalWeights
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = [
    "attach",
    "is_attached",
    "is_registered",
    "register",
    "trains_for",
]

logger = logging.getLogger(__name__)


def attach(pruner: AdaptivePruner, brain: sb.Brain) -> None:
    """Wraps the methods of one Brain and registers the pruner's state.

    Arguments
    ---------
    pruner : AdaptivePruner
        Not attached before.
    brain : sb.Brain
        Not yet fitted: its parameters are taken as they are now. Another one
        on the same modules goes on with what the pruner has done to them.

    Raises
    ------
    UserError
        If it has a pruner already, or none of the weights of a pruner that
        has a Brain.
    """
    if is_attached(brain):
        raise UserError(
            f"A {type(brain).__name__} must have one pruner, got a second one: "
            "keep one of the two `attach` calls."
        )
    listen()
    may_switch_off(pruner)
    if pruner.monitor is None:
        pruner.monitor = own_monitor(
            brain.checkpointer, getattr(brain, "hparams", None)
        )
    first = not pruner.targets
    if first:
        warn_of_frozen(brain.modules)
        pruner.manage(brain.modules, unsaved_by(brain.checkpointer))
        pruner.try_first()
    elif not trains_for(pruner, brain):
        raise UserError(
            f"A pruner must be attached to Brains that hold its weights, got "
            f"a {type(brain).__name__} without {pruner.targets[0].name!r}."
        )
    else:
        warn_of_new(brain, (t.parameter for t, _ in pruner.choice))
        if pruner.guard is not None:
            pruner.guard.levels.forget()  # its loss may be another one
    pruner.loss_scale = lambda: float(brain.scaler.get_scale())
    if brain.checkpointer is not None:
        register(pruner, brain.checkpointer)
    _wrap_optimizers(pruner, brain, whole=first)
    if pruner.loss_weights is not None:
        _wrap_losses(pruner.loss_weights, pruner, brain)
    _wrap_batches(pruner, brain)
    _wrap_stages(pruner, brain)


def register(pruner: AdaptivePruner, checkpointer: Any) -> None:
    """Adds the pruner's state to a Checkpointer, after the model.

    Whenever it saves, also from a hook within a batch, the model is at rest.
    """
    if is_registered(pruner, checkpointer):
        return  # by the Brain before
    from leanbrain.checkpointing import add_state

    add_state(checkpointer, CHECKPOINT_NAME, pruner)
    files, save = SavedFiles(checkpointer), checkpointer.save_checkpoint

    def wrapped_save(*args: Any, **kwargs: Any) -> Any:
        """Saves the model at rest."""
        pruner.files = files
        pruner.log.pause("Saved")
        with pruner.at_rest():
            return save(*args, **kwargs)

    checkpointer.save_checkpoint = wrapped_save


def is_registered(pruner: AdaptivePruner, checkpointer: Any) -> bool:
    """Whether a Checkpointer saves a pruner's state."""
    return checkpointer.recoverables.get(CHECKPOINT_NAME) is pruner


def is_attached(brain: sb.Brain) -> bool:
    """Whether a Brain has a pruner."""
    step = vars(brain).get("optimizers_step")
    return getattr(step, "__module__", None) == __name__


def trains_for(pruner: AdaptivePruner, brain: sb.Brain) -> bool:
    """Whether a Brain holds weights that a pruner manages."""
    own = {id(parameter) for parameter in brain.modules.parameters()}
    return any(id(t.parameter) in own for t in pruner.targets)


def _wrap_optimizers(
    pruner: AdaptivePruner, brain: sb.Brain, whole: bool
) -> None:
    init_optimizers, optimizers_step = (
        brain.init_optimizers,
        brain.optimizers_step,
    )

    def wrapped_init_optimizers() -> None:
        """Watches what was built; leaves out what it does not own."""
        init_optimizers()
        found = _watch(pruner, brain)
        if not found:
            raise UserError(
                f"`opt_class` must be given to {type(brain).__name__} to "
                "prune while it trains, got a Brain without optimizer."
            )
        # A later Brain, or a later fit, may train a part.
        if whole and not pruner.started:
            pruner.leave_out(unowned(pruner.targets, found))
        if pruner.trial is not None:
            # Only now: modules were compiled and wrapped before.
            pruner.trial.listen(brain.modules)

    def wrapped_optimizers_step() -> None:
        """Counts the step where no batch does."""
        _watch(pruner, brain)
        optimizers_step()
        if not pruner.batches:  # of a script that calls no `fit_batch`
            pruner.finish_step()

    brain.init_optimizers = wrapped_init_optimizers
    brain.optimizers_step = wrapped_optimizers_step


def _watch(pruner: AdaptivePruner, brain: sb.Brain) -> list[Any]:
    """Watches the optimizers of a Brain; recipes exchange them in a run."""
    found = optimizers_of(brain)
    known = {id(optimizer) for optimizer in pruner.optimizers}
    if not known.issuperset(map(id, found)):
        # Those before would keep the moments of all weights alive.
        pruner.optimizers.clear()
        pruner.owners.clear()
        for optimizer in found:
            pruner.watch(optimizer)
    return found


def _wrap_losses(
    weights: FocalWeights, pruner: AdaptivePruner, brain: sb.Brain
) -> None:
    from speechbrain import Stage

    compute_objectives = brain.compute_objectives

    def wrapped_compute_objectives(
        predictions: Any, batch: Any, stage: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Weighs the loss of the pathway in training."""
        # Adversarial recipes add for which optimizer the loss is.
        loss = compute_objectives(predictions, batch, stage, *args, **kwargs)
        if stage != Stage.TRAIN or pruner.pathway is None:
            return loss
        return weights.weigh(pruner.pathway, loss)

    brain.compute_objectives = wrapped_compute_objectives


def _wrap_batches(pruner: AdaptivePruner, brain: sb.Brain) -> None:
    fit_batch, evaluate_batch = brain.fit_batch, brain.evaluate_batch

    def wrapped_fit_batch(batch: Any) -> Any:
        """Trains in the batch's pathway; counts its step."""
        _watch(pruner, brain)
        step, pathway = pruner.step, pruner.enter(batch)
        due = brain.step % brain.grad_accumulation_factor == 0
        pruner.batches += 1
        try:
            loss = fit_batch(batch)
            pruner.probe.check()
        finally:
            pruner.batches -= 1
            pruner.leave()
        if pruner.fits > 1 or pruner.batches:
            pruner.forget_window()  # its part of the batch around it
            return loss
        pruner.guard_loss(pathway, loss)
        if due:
            pruner.finish_step()
        elif pruner.stepping.done:
            pruner.forget_window()
        pruner.note_loss(step, pathway, loss)
        return loss

    def wrapped_evaluate_batch(batch: Any, stage: Any) -> Any:
        """Evaluates in the batch's pathway."""
        pruner.enter(batch, learns=False)
        try:
            return evaluate_batch(batch, stage)
        finally:
            pruner.leave()

    brain.fit_batch = wrapped_fit_batch
    brain.evaluate_batch = wrapped_evaluate_batch


def _wrap_stages(pruner: AdaptivePruner, brain: sb.Brain) -> None:
    from speechbrain import Stage

    on_stage_start, fit = brain.on_stage_start, brain.fit
    on_stage_end = brain.on_stage_end

    def wrapped_on_stage_start(stage: Any, epoch: Any = None) -> None:
        """Puts the model at rest; begins pruning in training."""
        pruner.rest()
        if stage == Stage.VALID and pruner.trial is not None and pruner.step:
            pruner.end_trial()  # what is measured is to be what is trained
            pruner.start()
        elif stage == Stage.TRAIN:
            pruner.start()
        elif stage == Stage.TEST and not (pruner.started or pruner.step):
            raise UserError(
                "A pruned model must be evaluated from a checkpoint with "
                f"{CHECKPOINT_NAME}.ckpt, got one without (a dense model?)."
            )
        if stage == Stage.TEST and not pruner.frozen:
            logger.warning(
                "The evaluated checkpoint is of step %d, before the masks "
                "were final: choose among later ones.",
                pruner.step,
            )
        on_stage_start(stage, epoch)
        # Recipes swap in averaged weights there, unseen through `.data`.
        pruner.rest()

    def wrapped_on_stage_end(
        stage: Any, stage_loss: Any, epoch: Any = None
    ) -> None:
        """Logs what an epoch came to."""
        if stage == Stage.TRAIN and not pruner.batches:
            # Before the recipe saves.
            pruner.log.pause(f"Epoch {epoch} ends")
        on_stage_end(stage, stage_loss, epoch)

    def wrapped_fit(*args: Any, **kwargs: Any) -> None:
        """Says after the outermost fit how it ended."""
        with pruner.aside():
            pruner.fits += 1
            try:
                fit(*args, **kwargs)
            finally:
                pruner.fits -= 1
        if not pruner.fits:
            pruner.log.end(sentence_on(pruner))
            say_end(pruner)
            _warn_if_unfinished(pruner, brain)

    brain.on_stage_start = wrapped_on_stage_start
    brain.on_stage_end = wrapped_on_stage_end
    brain.fit = wrapped_fit


def _warn_if_unfinished(pruner: AdaptivePruner, brain: sb.Brain) -> None:
    if not (pruner.frozen or brain.debug or brain.test_only):
        logger.warning(
            "Training ended at step %d of `total_steps` %d, before the "
            "masks were final.",
            pruner.step,
            pruner.plan.total_steps,
        )
