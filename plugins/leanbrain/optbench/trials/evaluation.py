"""Evaluation in the midst of an epoch that leaves no trace in the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.optbench.trials.clock import PausedClock

__all__ = [
    "evaluate",
    "prepare_s",
    "prepared_for_eval",
    "start_training",
    "undisturbed",
]


def evaluate(
    brain: sb.Brain, batches: Iterable[Any], epoch: int | None = None
) -> dict[str, float]:
    """Runs a validation pass and asks the Brain for its metrics.

    SpeechBrain validates at the end of epochs only, and `on_stage_end` of a
    recipe logs and saves as well; hence a pass of our own.

    Arguments
    ---------
    brain : sb.Brain
        Has a method `stage_metrics(stage, stage_loss)`.
    batches : Iterable
        The validation data.
    epoch : int | None
        Handed to `on_stage_start`.

    Returns
    -------
    dict
        Name of a metric -> value; "loss" is added where the Brain has none
        of that name.
    """
    from speechbrain import Stage

    with undisturbed(brain):
        brain.on_stage_start(Stage.VALID, epoch)
        brain.modules.eval()
        brain.step, mean_loss = 0, 0.0
        with torch.no_grad():
            for batch in batches:
                brain.step += 1
                loss = brain.evaluate_batch(batch, stage=Stage.VALID)
                mean_loss = brain.update_average(loss, mean_loss)
        if brain.step == 0:
            raise UserError("The validation data must hold a batch, got none.")
        found = brain.stage_metrics(Stage.VALID, mean_loss)
    return {"loss": float(mean_loss)} | {k: float(v) for k, v in found.items()}


@contextmanager
def undisturbed(brain: sb.Brain) -> Iterator[None]:
    """Puts back all that a validation pass changes in a Brain.

    Counters, the training mode of each module, and the state of the random
    generators, of which loaders take numbers too.

    Arguments
    ---------
    brain : sb.Brain
        In the midst of its training.

    Yields
    ------
    None
    """
    from leanbrain.randomness import RandomState

    counters = brain.step, brain.avg_train_loss
    modes = [(x, x.training) for x in brain.modules.modules()]
    random = RandomState()
    random.pending = random.capture()
    try:
        yield
    finally:
        random.resume()
        brain.step, brain.avg_train_loss = counters
        for module, mode in modes:
            # Not .train(): that would set the modules inside as well.
            module.training = mode


@contextmanager
def prepared_for_eval(
    optimizer: torch.optim.Optimizer, clock: PausedClock
) -> Iterator[None]:
    """Lets an optimizer put the weights in place that are to be evaluated.

    Schedule-free optimizers evaluate an average of the weights that they
    train. Going there and back is part of the optimizer: it counts. It also
    rounds, so that evaluating more often would change the training; the
    trained weights are therefore copied before and put back after, which is
    the harness's doing: it does not count.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        With methods `eval` and `train`, or with neither.
    clock : PausedClock
        Running; paused inside the block.

    Yields
    ------
    None
    """
    if not has_modes(optimizer):
        with clock.paused():
            yield
        return
    clock.pause()
    parameters = [p for g in optimizer.param_groups for p in g["params"]]
    kept = [p.detach().clone() for p in parameters]
    with clock.running():
        optimizer.eval()  # type: ignore[attr-defined]
    yield
    with clock.running():
        optimizer.train()  # type: ignore[attr-defined]
    with torch.no_grad():
        for parameter, values in zip(parameters, kept, strict=True):
            parameter.copy_(values)
    clock.start()


def prepare_s(optimizer: torch.optim.Optimizer, clock: PausedClock) -> float:
    """Seconds that count when an optimizer prepares for an evaluation.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        In the midst of a training.
    clock : PausedClock
        Running.

    Returns
    -------
    float
        There and back; 0 for an optimizer that has nothing to prepare.
    """
    if not has_modes(optimizer):
        return 0.0
    before = clock.read().step_s
    with prepared_for_eval(optimizer, clock):
        pass
    return clock.read().step_s - before


def start_training(optimizer: torch.optim.Optimizer) -> None:
    """Tells an optimizer that has modes that training starts.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        Just built.
    """
    if has_modes(optimizer):
        optimizer.train()  # type: ignore[attr-defined]


def has_modes(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer has one set of weights to train, one to use."""
    return all(
        callable(getattr(optimizer, name, None)) for name in ("train", "eval")
    )
