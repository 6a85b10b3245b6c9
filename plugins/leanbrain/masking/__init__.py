"""Masks as data, and how they meet weights; knows nothing of pruning.

Choose parameters with `select_targets`, keep a mask per pathway in a
`MaskSet`, and let a `PathwaySwitch` write one pathway at a time into them; or
let mask-aware layers (`nnet`, `convert`) and a `PathwayRouter` run each
utterance of a batch through its own.
"""

from leanbrain.masking.blend import Blender
from leanbrain.masking.convert import Coverage, convert, cover
from leanbrain.masking.language_id import LanguageHead
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, pack, unpack
from leanbrain.masking.router import PathwayRouter
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import (
    DEFAULT_EXCLUDE,
    Target,
    select_targets,
)

__all__ = [
    "DEFAULT_EXCLUDE",
    "Blender",
    "Coverage",
    "LanguageHead",
    "MaskSet",
    "PathwayRouter",
    "PathwaySwitch",
    "Target",
    "convert",
    "count_bits",
    "cover",
    "pack",
    "select_targets",
    "unpack",
]
