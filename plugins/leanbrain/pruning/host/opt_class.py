"""Pruning by YAML alone: an `opt_class` that prunes with a single pathway."""

from __future__ import annotations

import atexit
import logging
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError, check_callable
from leanbrain.pruning.guard.guard import GUARD
from leanbrain.pruning.host.curves import listen, own_monitor
from leanbrain.pruning.host.outcome import sentence_on
from leanbrain.pruning.host.owned import unowned, unsaved_by

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["PrunedOptimizer"]

logger = logging.getLogger(__name__)


class PrunedOptimizer:
    """Builds an ordinary optimizer and lets a pruner ride on its steps.

    For a stock ``train.py`` that nobody wants to edit: only ``opt_class`` in
    the YAML changes. There is one pathway, at work all the time; what needs
    the Brain (pathways per batch, masks after checkpoint averaging, the guard
    over the training loss) takes ``AdaptivePruner.attach``. Masks appear with
    the first optimizer step.

    Arguments
    ---------
    opt_class : callable
        Parameters -> optimizer, as SpeechBrain's ``opt_class``.
    pruner : AdaptivePruner
        With a single pathway.
    modules : torch.nn.Module or dict of them
        Where the names of the parameters come from: the YAML's ``modules``.
    checkpointer : Checkpointer, optional
        Gets the pruner as recoverable, so that masks survive a resume, and
        ranks checkpoints of the final sparsity first: see `prefer_final`.

    Example
    -------
    >>> from functools import partial
    >>> from leanbrain.pruning.pruner import AdaptivePruner
    >>> from leanbrain.pruning.schedules import constant
    >>> model = torch.nn.Linear(4, 4)
    >>> pruner = AdaptivePruner(
    ...     partial(constant, sparsity=0.5), 10, 1, update=None
    ... )
    >>> opt_class = PrunedOptimizer(
    ...     partial(torch.optim.SGD, lr=0.1), pruner, {"model": model}
    ... )
    >>> optimizer = opt_class(model.parameters())
    >>> model(torch.ones(1, 4)).sum().backward()
    >>> _ = optimizer.step()
    >>> int((model.weight == 0).sum())
    8
    """

    def __init__(
        self,
        opt_class: Callable[[Iterable[Any]], torch.optim.Optimizer],
        pruner: AdaptivePruner,
        modules: Any,
        checkpointer: Any = None,
    ) -> None:
        self.opt_class = check_callable("opt_class", opt_class)
        if len(pruner.pathways) != 1:
            raise UserError(
                "`opt_class` pruning must have a single pathway (attach the "
                f"pruner to the Brain for more), got {len(pruner.pathways)}."
            )
        for setting in ("rewind", "loss_weights"):
            if getattr(pruner, setting) is not None:
                raise UserError(
                    f"`opt_class` pruning must be without `{setting}` (attach "
                    "the pruner to the Brain for it)."
                )
        if not pruner.train_weights:
            raise UserError(
                "`opt_class` pruning must train the weights (attach the "
                "pruner to the Brain for `train_weights: False`)."
            )
        self.pruner, self.modules = pruner, modules
        self._hooks: list[Any] = []
        listen()
        self._drop_guard()
        if pruner.monitor is None:
            pruner.monitor = own_monitor(checkpointer)
        atexit.register(_warn_if_unfinished, weakref.ref(pruner))
        pruner.manage(modules, unsaved_by(checkpointer))
        pruner.try_first()
        if checkpointer is not None:
            from leanbrain.pruning.host.attach import register
            from leanbrain.pruning.host.final_checkpoints import prefer_final

            register(pruner, checkpointer)
            # The recipe evaluates its best checkpoint: while sparsity rises
            # that is an early one.
            prefer_final(pruner, checkpointer)

    def __call__(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        """Builds the optimizer over the parameters that SpeechBrain gives."""
        optimizer = self.opt_class(parameters)
        self.pruner.optimizers.clear()  # of a Brain or a fit before
        self.pruner.owners.clear()
        self.pruner.leave_out(unowned(self.pruner.targets, [optimizer]))
        self.pruner.watch(optimizer)
        if self.pruner.trial is not None:
            # Only now: modules were compiled and wrapped before.
            self.pruner.trial.listen(self.modules)
        # The weights are not loaded yet; when they step they are.
        self.pruner.stepping.before = self.pruner.start
        self.pruner.stepping.after = self._finish_step
        self._listen_for_validation()
        return optimizer

    def _drop_guard(self) -> None:
        """Does without the guard over a loss that is not seen here."""
        guard = self.pruner.guard
        if guard is not None and guard.guard != GUARD:
            raise UserError(
                "`opt_class` pruning must be without a `guard` of its own "
                "(attach the pruner to the Brain for it), got "
                f"{guard.guard}."
            )
        self.pruner.guard = None
        logger.info("The loss is not seen by an `opt_class`: no guard over it.")

    def _finish_step(self) -> None:
        """Counts the step; says what came out after the last one."""
        pruner = self.pruner
        pruner.finish_step()
        if pruner.step == pruner.plan.total_steps:
            pruner.log.end(sentence_on(pruner))

    def _listen_for_validation(self) -> None:
        """Takes the first batch in eval mode for the end of an epoch."""
        if self._hooks:
            return
        whole = isinstance(self.modules, torch.nn.Module)
        parts = [self.modules] if whole else self.modules.values()
        self._hooks = [
            part.register_forward_pre_hook(self._note)
            for part in parts
            if part is not None  # a YAML may leave one out
        ]

    def _note(self, module: torch.nn.Module, _: Any) -> None:
        """Sees each call of a module."""
        if not module.training:
            self.pruner.log.pause("Training pauses")


def _warn_if_unfinished(pruner_of: Callable[[], Any]) -> None:
    """Says at the end of the script that it trained too little."""
    pruner = pruner_of()
    if pruner is not None and pruner.step and not pruner.frozen:
        logger.warning(
            "Training ended at step %d of `total_steps` %d, before the "
            "masks were final.",
            pruner.step,
            pruner.plan.total_steps,
        )
