"""Which Brains there are, and which one a pruner may be attached to."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

from torch.nn.parallel import DataParallel, DistributedDataParallel

from leanbrain.checks import UserError
from leanbrain.pruning.host.attach import is_attached
from leanbrain.pruning.host.opt_class import PrunedOptimizer

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["check_attachable", "derived"]


def derived(kind: type) -> Iterator[type]:
    """A class and all that are derived from it."""
    yield kind
    below: list[type] = kind.__subclasses__()
    for one in below:
        yield from derived(one)


def check_attachable(brain: sb.Brain) -> None:
    """Refuses a Brain that has a pruner, or is wrapped already."""
    name = type(brain).__name__
    given = vars(getattr(brain, "hparams", None) or SimpleNamespace())
    pruned = any(
        isinstance(value, PrunedOptimizer)
        for value in (brain.opt_class, *given.values())
    )
    if pruned or is_attached(brain):
        raise UserError(
            f"{name} must have no pruner to be pruned by `leanbrain run`, got "
            "one that its script or YAML attached."
        )
    for key, module in brain.modules.items():
        if isinstance(module, DistributedDataParallel | DataParallel):
            raise UserError(
                f"A pruner must be attached to {name} before its modules are "
                f"wrapped for several devices, got {key!r} wrapped in "
                f"{type(module).__name__}."
            )
