"""Which targets a Brain's optimizers will train, before there are any."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError
from leanbrain.masking.targets import DEFAULT_EXCLUDE, select_targets
from leanbrain.pruning.host.attach import optimizers_of
from leanbrain.pruning.optimizers import moved_by

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.training import PathwayTraining

__all__ = [
    "future_optimizers",
    "leave_out_unowned",
    "warn_of_frozen",
]

logger = logging.getLogger(__name__)


class _Ignoring:
    """Stands in for a Checkpointer that must not hear of the rehearsal."""

    def add_recoverable(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    def add_recoverables(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""


def future_optimizers(brain: sb.Brain) -> list[Any]:
    """Builds the optimizers that ``fit`` will build, and forgets them.

    Arguments
    ---------
    brain : sb.Brain
        Not yet fitted; it is left as it was.

    Returns
    -------
    list
        The optimizers; they hold no state yet.
    """
    before = dict(vars(brain))
    if brain.checkpointer is not None:
        brain.checkpointer = _Ignoring()
    try:
        brain.init_optimizers()
        found = optimizers_of(brain)
    finally:
        vars(brain).clear()
        vars(brain).update(before)
    return found


def leave_out_unowned(pruner: PathwayTraining, brain: sb.Brain) -> list[str]:
    """Excludes the targets that no optimizer will train.

    Arguments
    ---------
    pruner : PathwayTraining
        Not managing anything yet; its `exclude` is extended.
    brain : sb.Brain
        Not yet fitted.

    Returns
    -------
    list of str
        The names that are left out; they are in a warning, too.

    Raises
    ------
    UserError
        If there is no optimizer, or none owns a target.
    """
    optimizers = future_optimizers(brain)
    if not optimizers:
        raise UserError(
            f"`opt_class` must be given to {type(brain).__name__} to prune "
            "while it trains, got a Brain without optimizer."
        )
    owned = moved_by(optimizers)
    targets = select_targets(brain.modules, pruner.include, pruner.exclude)
    left_out = [t.name for t in targets if id(t.parameter) not in owned]
    if len(left_out) == len(targets):
        raise UserError(
            f"An optimizer of {type(brain).__name__} must own at least one of "
            f"the {len(targets)} parameters to prune, got none."
        )
    if left_out:
        logger.warning(
            "No optimizer trains %s: left dense.", _shortened(left_out)
        )
        every = [
            name
            for name, _ in brain.modules.named_parameters(
                remove_duplicate=False
            )
        ]
        pruner.exclude = [
            *_excluded(pruner.exclude, every),
            *(glob.escape(name) for name in left_out),
        ]
    return left_out


def warn_of_frozen(modules: Mapping[str, torch.nn.Module]) -> None:
    """Names the modules whose matrices are frozen now and so stay dense."""
    frozen = [
        name
        for name, module in modules.items()
        if module is not None  # a YAML may leave one out
        and any(
            p.dim() > 1 and not p.requires_grad for p in module.parameters()
        )
    ]
    if frozen:
        logger.warning(
            "Frozen parameters of %s stay dense, also if they are trained "
            "later in the run.",
            ", ".join(frozen),
        )


def _excluded(exclude: Iterable[str] | None, names: Iterable[str]) -> list[str]:
    """The patterns in force, spelt out."""
    from fnmatch import fnmatchcase

    if exclude is not None:
        return list(exclude)
    listed = list(names)
    # Of the defaults only those that match: others would be refused.
    return [
        pattern
        for pattern in DEFAULT_EXCLUDE
        if any(fnmatchcase(name, pattern) for name in listed)
    ]


def _shortened(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:5])
    more = len(names) - 5
    return f"{shown} and {more} more" if more > 0 else shown
