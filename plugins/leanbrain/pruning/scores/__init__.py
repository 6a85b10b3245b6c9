"""What a weight is worth to a pathway: what YAML names as a saliency."""

from leanbrain.pruning.scores.basic import (
    Magnitude,
    gradient,
    magnitude,
    weight_gradient,
)
from leanbrain.pruning.scores.first import first_score
from leanbrain.pruning.scores.learned import LearnedScore
from leanbrain.pruning.scores.lookahead import LookAhead
from leanbrain.pruning.scores.noise import PartlyRandom, RandomScore
from leanbrain.pruning.scores.pathway_magnitude import PathwayMagnitude
from leanbrain.pruning.scores.rates import wandering_rate
from leanbrain.pruning.scores.tracking import TrackedScore

__all__ = [
    "LearnedScore",
    "LookAhead",
    "Magnitude",
    "PartlyRandom",
    "PathwayMagnitude",
    "RandomScore",
    "TrackedScore",
    "first_score",
    "gradient",
    "magnitude",
    "wandering_rate",
    "weight_gradient",
]
