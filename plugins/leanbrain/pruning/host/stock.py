"""Attaches a pruner to a Brain of a script that knows nothing of pruning."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from leanbrain.checks import UserError
from leanbrain.pruning.host.attach import (
    is_registered,
    trains_for,
)
from leanbrain.pruning.host.brains import check_attachable, derived
from leanbrain.pruning.host.checkpoints import require_pruned
from leanbrain.pruning.host.final_checkpoints import (
    check_same_request,
    prefer_final,
    saved_total_steps,
)
from leanbrain.pruning.host.outcome import outcome_of
from leanbrain.pruning.host.owned import copies_in
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.run_length import (
    Stages,
    optimizer_steps,
    train_loader,
)

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["StockPruning"]

logger = logging.getLogger(__name__)


class StockPruning:
    """Prunes one Brain of whatever runs inside ``patching``.

    Arguments
    ---------
    request : PruningRequest
        What to do.

    Example
    -------
    >>> import speechbrain as sb
    >>> from leanbrain.pruning.host.request import PruningRequest
    >>> stock = StockPruning(PruningRequest("one_shot"))
    >>> before = sb.Brain.fit
    >>> with stock.patching():
    ...     assert sb.Brain.fit is not before  # a script is run here
    >>> sb.Brain.fit is before, stock.pruner is None
    (True, True)
    """

    def __init__(self, request: PruningRequest) -> None:
        self.request = request
        self.pruner: AdaptivePruner | None = None
        self.brain: sb.Brain | None = None
        self.fitted: list[str] = []  # classes, in order
        self.stages = Stages()
        # Of the pruned Brains: a script may make one for each of its stages.
        self._fits: dict[sb.Brain, Any] = {}
        self._checkpointer: Any = None  # of the one that was at work last
        self._evaluated = False  # since it was fitted
        self._dense: list[str] = []  # classes fitted after the pruned one
        self._left: WeakSet[sb.Brain] = WeakSet()  # of these, the Brains

    @contextmanager
    def patching(self) -> Iterator[StockPruning]:
        """Lets every ``Brain.fit`` and ``Brain.evaluate`` ask first.

        Yields
        ------
        StockPruning
            Itself.
        """
        from speechbrain.core import Brain

        fit, evaluate = Brain.fit, Brain.evaluate

        def asking_fit(
            brain: sb.Brain,
            epoch_counter: Any,
            train_set: Any,
            valid_set: Any = None,
            progressbar: bool | None = None,
            train_loader_kwargs: Any = {},  # noqa: B006  as the host's
            *args: Any,
            **kwargs: Any,
        ) -> None:
            """Attaches first, if the Brain is one to prune."""
            inner = partial(fit, brain)
            if self._is_next(brain):
                train_set = train_loader(brain, train_set, train_loader_kwargs)
                self._begin(brain, epoch_counter, train_set, inner)
            elif self._goes_on(brain):
                if self._go_on(brain, inner):
                    train_set = train_loader(
                        brain, train_set, train_loader_kwargs
                    )
                    self.stages.add(brain, epoch_counter, train_set)
            elif not brain.test_only:
                self._leave(brain)
            self._fits.get(brain, inner)(
                epoch_counter,
                train_set,
                valid_set,
                progressbar,
                train_loader_kwargs,
                *args,
                **kwargs,
            )

        def asking_evaluate(brain: sb.Brain, *args: Any, **kwargs: Any) -> Any:
            """Attaches first; notes what was evaluated."""
            if self._is_next(brain, fits=False):
                self._resume(brain, partial(fit, brain))
            elif self._goes_on(brain, fits=False):
                self._go_on(brain, partial(fit, brain))
            result = evaluate(brain, *args, **kwargs)
            if self.pruner is not None and not self.pruner.fits:
                self._evaluated |= brain in self._fits
            return result

        Brain.fit, Brain.evaluate = asking_fit, asking_evaluate
        try:
            yield self
        finally:
            Brain.fit, Brain.evaluate = fit, evaluate

    def check_done(self) -> None:
        """Raises a UserError if nothing was pruned, after the script."""
        if self.brain is not None:
            return
        wanted = self.request.brain
        if wanted is not None and self.fitted:
            raise UserError(
                f"`--brain` must name a Brain that is fitted, got {wanted!r} "
                f"(fitted: {', '.join(self.fitted)})."
            )
        raise UserError(
            "The script must fit a Brain to be pruned, or evaluate one from a "
            "pruned checkpoint, got a script that did neither."
        )

    def summary(self) -> str:
        """What has become of the model, in one sentence."""
        pruner = self.pruner
        if pruner is None or not pruner.started:
            return "No masks were set."
        outcome = outcome_of(pruner, self._checkpointer, self._evaluated)
        others = ", ".join(self._dense)
        without = f" Trained without pruning: {others}." if others else ""
        return outcome.sentence(self.stages.total) + without

    # -- which Brain --------------------------------------------------------

    def _is_next(self, brain: sb.Brain, fits: bool = True) -> bool:
        """Whether a Brain is the one to prune, and not pruned yet."""
        if self.brain is not None or (fits and brain.test_only):
            return False
        return self.request.brain in (None, type(brain).__name__)

    def _goes_on(self, brain: sb.Brain, fits: bool = True) -> bool:
        """Whether a Brain holds weights that are pruned already."""
        if self.pruner is None or (fits and brain.test_only):
            return False
        return trains_for(self.pruner, brain)

    def _leave(self, brain: sb.Brain) -> None:
        from speechbrain.core import Brain

        name, wanted = type(brain).__name__, self.request.brain
        known = {x.__name__ for x in derived(Brain)}
        if self.brain is None and wanted is not None and wanted not in known:
            raise UserError(
                f"`--brain` must name a Brain of the script, got {wanted!r} "
                f"(about to be fitted: {name})."
            )
        if brain in self._left:
            return  # fitted again and again within another one's batches
        if self.brain is not None:
            self._left.add(brain)
        if name not in self.fitted:
            self.fitted.append(name)
        logger.info("%s is trained without pruning.", name)
        copies = copies_in(brain, self.pruner.targets) if self.pruner else []
        if copies:
            logger.warning(
                "%s trains copies of pruned weights, of which only the "
                "originals are kept sparse: %s.",
                name,
                ", ".join(copies),
            )
            name += " (copies of pruned weights)"
        if self.brain is not None and name not in self._dense:
            self._dense.append(name)

    # -- attaching ----------------------------------------------------------

    def _begin(
        self, brain: sb.Brain, epoch_counter: Any, loader: Any, inner: Any
    ) -> None:
        """Attaches to a Brain that is about to be fitted."""
        total = self.request.total_steps
        check_same_request(brain.checkpointer, self.request.facts(), total)
        if total is None:
            total = saved_total_steps(brain.checkpointer)
        if total is None:
            if brain.checkpointer is not None:
                require_pruned(brain.checkpointer.checkpoints_dir)
            total = optimizer_steps(brain, epoch_counter, loader)
        self.stages.begin(epoch_counter, total, self.request.total_steps)
        self._attach(brain, total, inner)
        self.fitted.append(type(brain).__name__)

    def _resume(self, brain: sb.Brain, inner: Any) -> None:
        """Attaches to a Brain that is evaluated without being fitted."""
        total = saved_total_steps(brain.checkpointer)
        if total is not None:
            self._attach(brain, self.request.total_steps or total, inner)
        elif brain.test_only:
            raise UserError(
                f"{type(brain).__name__} must be evaluated from a checkpoint "
                "of `leanbrain run`, got none in its folder."
            )

    def _attach(self, brain: sb.Brain, total_steps: int, inner: Any) -> None:
        check_attachable(brain)
        pruner = self.request.build(total_steps)
        self.pruner = pruner
        self._connect(pruner, brain, inner)
        self._use(brain)
        self._announce(brain)

    def _go_on(self, brain: sb.Brain, inner: Any) -> bool:
        """Attaches to another Brain on the same modules.

        Returns whether this is no fit within a fit, which counts with it.
        """
        if brain not in self._fits:
            check_attachable(brain)
            self._connect(self.pruner, brain, inner)
            logger.info(
                "%s goes on with the pruned weights.", type(brain).__name__
            )
        if self.pruner is None or self.pruner.fits:
            return False
        self._use(brain)
        return True

    def _connect(self, pruner: Any, brain: sb.Brain, inner: Any) -> None:
        checkpointer = brain.checkpointer
        new = checkpointer is not None and not is_registered(
            pruner, checkpointer
        )
        # What `attach` wraps is this fit, not an override that called it.
        brain.fit = inner
        pruner.attach(brain)
        self._fits[brain] = vars(brain).pop("fit")
        if new:
            prefer_final(pruner, checkpointer, self.request.facts())

    def _use(self, brain: sb.Brain) -> None:
        self.brain, self._checkpointer = brain, brain.checkpointer
        self._evaluated = False

    def _announce(self, brain: sb.Brain) -> None:
        """Says which Brain is pruned, on the first rank."""
        from speechbrain.utils.distributed import if_main_process

        if if_main_process():
            logger.info(
                "%s prunes %s.",
                os.fspath(self.request.method),
                type(brain).__name__,
            )
