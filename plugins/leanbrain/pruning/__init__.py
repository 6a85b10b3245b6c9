"""When and how masks change: pure functions, and the pruner that uses them."""

from leanbrain.pruning.averaged_models import mask_average
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["AdaptivePruner", "PrunedOptimizer", "mask_average"]
