"""What a pruned run says in the log: the same, however the pruner got in."""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from leanbrain.pruning.averaged_models import say_averages
from leanbrain.pruning.ranks import is_first_rank

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["ProgressLog"]

logger = logging.getLogger(__name__)


class ProgressLog:
    """Says what is planned, what each epoch comes to, and how it ended.

    Arguments
    ---------
    pruner : AdaptivePruner
        Of which it tells. What is left dense, its targets say themselves.

    Example
    -------
    >>> from functools import partial
    >>> import torch
    >>> from leanbrain.pruning.pruner import AdaptivePruner
    >>> from leanbrain.pruning.schedules import cubic
    >>> plan = partial(cubic, initial=0.0, final=0.8)
    >>> ProgressLog(AdaptivePruner(plan, 1000, 50)).planned()
    'Sparsity from 0.00% to 80.00%: masks change until step 750 of 1,000 and \
are final then.'
    """

    def __init__(self, pruner: AdaptivePruner) -> None:
        self._pruner = pruner
        self._begun = False
        self._told = self._ended = -1  # the steps of the newest lines
        self._averages: WeakSet[Any] = WeakSet()  # of which it warned

    def begin(self) -> None:
        """Training begins or goes on; what is recovered is loaded."""
        if self._begun:
            return
        self._begun, pruner = True, self._pruner
        if pruner.monitor is not None:
            pruner.monitor.announce(_say)
        _say(self.planned())
        if pruner.step:
            _say(f"Goes on at {self.state()}")
        self._told = pruner.step

    def pause(self, what: str) -> None:
        """An epoch is over, or the model is saved; once for each stretch.

        Arguments
        ---------
        what : str
            Such as "Epoch 3 ends".
        """
        pruner = self._pruner
        if not self._begun or pruner.step == self._told:
            return
        self._told = pruner.step
        if pruner.monitor is not None and pruner.started:
            planned = pruner.plan.sparsity(pruner.step)
            pruner.monitor.on_epoch(pruner.step, pruner.masks, planned)
        _say(f"{what} at {self.state()}")
        self._averages.update(self._of_averages(self._averages))

    def frozen(self) -> None:
        """The masks are final from now on."""
        _say(f"Mask updates end at {self.state()}")

    def end(self, sentence: str) -> None:
        """Training, or a stage of it, is over.

        Arguments
        ---------
        sentence : str
            What the weights say: see ``Outcome``.
        """
        if self._begun and self._ended != self._pruner.step:
            self._ended = self._pruner.step
            _say(sentence)
            self._of_averages(())

    def _of_averages(self, known: Container[Any]) -> list[Any]:
        """Warns of averages of the model; returns those that it named."""
        pruner = self._pruner
        if not (pruner.started and is_first_rank()):
            return []
        return say_averages(pruner, known)

    def planned(self) -> str:
        """What is asked for, and when the masks are final."""
        pruner, plan = self._pruner, self._pruner.plan
        first, last = (float(plan.schedule(x)) for x in (0.0, 1.0))
        names = ", ".join(pruner.pathways)
        of = f" in the pathways {names}" if len(pruner.pathways) > 1 else ""
        if pruner.update is None:
            return (
                f"Sparsity {last:.2%}{of}: masks are final from step "
                f"{plan.begin_step:,} of {plan.total_steps:,} on."
            )
        rises = f"from {first:.2%} to " if first != last else ""
        begin = f"from step {plan.begin_step:,} " if plan.begin_step else ""
        return (
            f"Sparsity {rises}{last:.2%}{of}: masks change {begin}until step "
            f"{plan.end_step:,} of {plan.total_steps:,} and are final then."
        )

    def state(self) -> str:
        """The step, the sparsity of each pathway, and what is to come."""
        pruner, plan = self._pruner, self._pruner.plan
        where = f"step {pruner.step:,} of {plan.total_steps:,}: "
        if not pruner.started:
            return f"{where}no masks yet."
        shares = ", ".join(
            (f"{name} " if len(pruner.pathways) > 1 else "")
            + f"{1 - pruner.masks.density(name):.2%}"
            for name in pruner.pathways
        )
        rest = (
            "masks are final"
            if pruner.frozen
            else f"masks change until step {plan.end_step:,}"
        )
        return f"{where}sparsity {shares}, {rest}."


def _say(sentence: str) -> None:
    """Logs it, once for all ranks."""
    if is_first_rank():
        logger.info("%s", sentence)
