"""What checkpoints of a pruned run say of it, and which of them come first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.pruning.host.checkpoints import CHECKPOINT_NAME

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["check_same_request", "prefer_final", "saved_total_steps"]

# In the meta data of a checkpoint.
FINAL = "pruning_final"
TOTAL_STEPS = "pruning_total_steps"
REQUEST = "pruning_request"


def prefer_final(
    pruner: AdaptivePruner,
    checkpointer: Any,
    request: Mapping[str, Any] | None = None,
) -> None:
    """Makes a Checkpointer rank checkpoints with frozen masks first.

    A recipe evaluates, averages and keeps its best checkpoints. While
    sparsity rises the best are the first ones, which are hardly pruned.

    Arguments
    ---------
    pruner : AdaptivePruner
        Says whether a checkpoint that is saved is final.
    checkpointer : Checkpointer
        Saving adds entries to the meta data; `find_checkpoints`, and what
        uses it, takes final checkpoints before all others.
    request : dict, optional
        What the user asked for, plain data, to be kept with each checkpoint.
    """
    save, find = checkpointer.save_checkpoint, checkpointer.find_checkpoints

    def wrapped_save(meta: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Notes in the meta data whether masks are final."""
        ours: dict[str, Any] = {
            FINAL: bool(pruner.frozen),
            TOTAL_STEPS: pruner.plan.total_steps,
        }
        if request is not None:
            # As text: what is no plain YAML would not be read again.
            ours[REQUEST] = json.dumps(request)
        return save({**(meta or {}), **ours}, *args, **kwargs)

    def wrapped_find(
        importance_key: Any = None,
        max_key: Any = None,
        min_key: Any = None,
        ckpt_predicate: Any = None,
        max_num_checkpoints: int | None = None,
    ) -> list[Any]:
        """Ranks checkpoints with final masks first."""
        found = find(importance_key, max_key, min_key, ckpt_predicate)
        final = [c for c in found if c.meta.get(FINAL)]
        if max_num_checkpoints is None:
            return final + [c for c in found if not c.meta.get(FINAL)]
        # An average over both kinds would be of neither sparsity.
        return (final or found)[:max_num_checkpoints]

    checkpointer.save_checkpoint = wrapped_save
    checkpointer.find_checkpoints = wrapped_find


def saved_total_steps(checkpointer: Any) -> int | None:
    """The length of the run that the newest checkpoint belongs to.

    Arguments
    ---------
    checkpointer : Checkpointer or None
        As it will be recovered from.

    Returns
    -------
    int or None
        None if there is no checkpoint, or one without a pruner: dense.
    """
    found = checkpointer.find_checkpoint() if checkpointer else None
    if found is None or CHECKPOINT_NAME not in found.paramfiles:
        return None
    if TOTAL_STEPS not in found.meta:
        raise UserError(
            "`--total_steps` must be given to continue a run that was pruned "
            f"otherwise than by `leanbrain run`, got {found.path} without it."
        )
    return int(found.meta[TOTAL_STEPS])


def check_same_request(
    checkpointer: Any,
    request: Mapping[str, Any],
    total_steps: int | None = None,
) -> None:
    """Refuses to continue a run that was asked for something else.

    Its masks would be taken for what is asked for now, and its plan may be at
    its end.

    Arguments
    ---------
    checkpointer : Checkpointer or None
        As it will be recovered from.
    request : dict
        What the user asks for: `PruningRequest.facts`.
    total_steps : int, optional
        The length of the run, where the user gives it.

    Raises
    ------
    UserError
        If the newest checkpoint says that it is of another request; names
        what differs.
    """
    found = checkpointer.find_checkpoint() if checkpointer else None
    if found is None or REQUEST not in found.meta:
        return
    before, now = json.loads(found.meta[REQUEST]), dict(request)
    if total_steps is not None:
        before["total_steps"] = found.meta.get(TOTAL_STEPS)
        now["total_steps"] = total_steps
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            raise UserError(
                "A run must be continued with its own pruning (for another "
                f"one give another output folder), got {_differs(name)} "
                f"{_shown(now.get(name))}, where it began with "
                f"{_shown(before.get(name))}."
            )


def _differs(name: str) -> str:
    """Names a part of a request."""
    return "the file" if name == "method" else f"`{name}`"


def _shown(value: Any) -> str:
    """A value, cut where it is a whole part of a file."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
