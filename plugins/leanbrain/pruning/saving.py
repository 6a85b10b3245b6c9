"""What a pruner saves beyond the parameters, and how it continues from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["load_state", "state_of"]

# Attributes with a state of their own; some are None. A checkpoint of an
# earlier version lacks some of them.
PARTS = (
    "turns",
    "scores",
    "monitor",
    "rewind",
    "loss_weights",
    "cost",
    "guard",
)


def state_of(pruner: AdaptivePruner) -> dict[str, Any]:
    """Everything beyond the parameters that a resumed run needs.

    Arguments
    ---------
    pruner : AdaptivePruner
        At rest.

    Returns
    -------
    dict
        Plain containers and tensors, some of them live: to be saved at once.
    """
    parts = {name: getattr(pruner, name) for name in PARTS}
    return {
        "step": pruner.step,
        "settled": sorted(pruner.settled),
        "gathering_first": pruner.gathering_first,
        "frozen": pruner.frozen,
        "left_out": dict(pruner.left_out),
        "trial": pruner.trial.state_dict() if pruner.trial else {},
        "masks": pruner.masks.state_dict(),
        "saved_as": pruner.files.facts(pruner.targets) if pruner.files else {},
        "dormant": pruner.switch.dormant() if pruner.started else {},
        **{
            n: p.state_dict() if p is not None else {} for n, p in parts.items()
        },
    }


def load_state(pruner: AdaptivePruner, state: dict[str, Any]) -> None:
    """Continues from ``state_of``; the parameters are loaded before.

    Arguments
    ---------
    pruner : AdaptivePruner
        Managing its parameters, with the settings that it had.
    state : dict
        What ``state_of`` returned.
    """
    if state["trial"] and pruner.trial is not None:
        pruner.trial.load_state_dict(state["trial"])
    elif not state["trial"]:
        pruner.trial = None
        pruner.leave_out(state["left_out"])
    pruner.masks.load_state_dict(state["masks"])
    pruner.step = state["step"]
    pruner.settled = set(state["settled"])
    pruner.gathering_first = state["gathering_first"]
    pruner.frozen = state["frozen"]
    for name in PARTS:
        part, saved = getattr(pruner, name), state.get(name, {})
        if name in ("rewind", "loss_weights"):
            _check_same(name, part is not None, bool(saved))
        # Scores see for themselves whether they were there from the start.
        if part is not None and (saved or name == "scores"):
            part.load_state_dict(saved)
    if pruner.started:
        pruner.switch.load_dormant(state["dormant"])


def _check_same(name: str, has: bool, had: bool) -> None:
    """Refuses to go on with a part that was not there, or without it."""
    if has != had:
        raise UserError(
            f"A pruning run must be continued with the `{name}` that it began "
            f"with, {'one' if had else 'null'}; got {'one' if has else 'null'}."
        )
