"""How many weights each tensor keeps, exact to the single weight."""

from leanbrain.pruning.allocation.grouping import per_group
from leanbrain.pruning.allocation.redistribution import by_gradient, first_then
from leanbrain.pruning.allocation.shares import erk, global_, per_layer

__all__ = [
    "by_gradient",
    "erk",
    "first_then",
    "global_",
    "per_group",
    "per_layer",
]
