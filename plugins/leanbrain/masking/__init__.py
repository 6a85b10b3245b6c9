"""Masks as data, and how they meet weights; knows nothing of pruning.

Choose parameters with `select_targets`, keep a mask per pathway in a
`MaskSet`, and let a `PathwaySwitch` write one pathway at a time into them.
"""

from leanbrain.masking.blend import Blender
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, pack, unpack
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import (
    DEFAULT_EXCLUDE,
    Target,
    select_targets,
)

__all__ = [
    "DEFAULT_EXCLUDE",
    "Blender",
    "MaskSet",
    "PathwaySwitch",
    "Target",
    "count_bits",
    "pack",
    "select_targets",
    "unpack",
]
