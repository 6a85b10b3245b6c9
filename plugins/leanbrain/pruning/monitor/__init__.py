"""What pruning does to the pathways: curves in TensorBoard, a history file."""

from leanbrain.pruning.monitor.monitor import PruningMonitor

__all__ = ["PruningMonitor"]
