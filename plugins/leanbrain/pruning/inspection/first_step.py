"""What the first step of a script shows: the targets of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NoReturn

from leanbrain.checks import UserError
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.stock import StockPruning

if TYPE_CHECKING:
    import speechbrain as sb

    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["look"]


class _Seen(BaseException):
    """Ends a script; no `except Exception` of its own keeps it."""

    def __init__(self, pruner: AdaptivePruner) -> None:
        super().__init__()
        self.pruner = pruner


@dataclass(frozen=True)
class _Looking(PruningRequest):
    """A request whose pruner ends the script when its targets are known."""

    def build(self, total_steps: int) -> AdaptivePruner:
        """Builds the pruner."""
        pruner = super().build(total_steps)
        end_trial = pruner.end_trial

        def end() -> NoReturn:
            """Ends the trial, and with it the script."""
            end_trial()
            raise _Seen(pruner)

        pruner.end_trial = end  # type: ignore[method-assign]
        return pruner


def look(
    request: PruningRequest, run: Callable[[], None]
) -> tuple[AdaptivePruner, sb.Brain]:
    """Runs a script until it is known what would be pruned.

    Arguments
    ---------
    request : PruningRequest
        What to do.
    run : callable
        Runs the script.

    Returns
    -------
    tuple
        The pruner, which knows of every parameter why it is left out, and the
        Brain, both to be read only.

    Raises
    ------
    UserError
        If the script ends before.
    """
    known = {f.name: getattr(request, f.name) for f in fields(request)}
    stock = StockPruning(_Looking(**known))
    try:
        with stock.patching():
            run()
    except _Seen as seen:
        if stock.brain is not None:
            return seen.pruner, stock.brain
    raise UserError(
        "The script must train until it shows what would be pruned (with its "
        "results in a folder that is new), got one that ended before."
    )
