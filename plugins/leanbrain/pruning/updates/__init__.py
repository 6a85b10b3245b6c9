"""How a mask becomes the next one, and what revived weights begin with."""

from leanbrain.pruning.updates.rules import (
    cos_decay,
    drop_and_grow,
    prune_only,
    replace_dropped,
    reselect,
)

__all__ = [
    "cos_decay",
    "drop_and_grow",
    "prune_only",
    "replace_dropped",
    "reselect",
]
