"""The guard: training losses that say that pruning has broken the model."""

from leanbrain.pruning.guard.guard import LossGuard

__all__ = ["LossGuard"]
