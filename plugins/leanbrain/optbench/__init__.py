"""Which optimizer trains a speech model first: protocol, trials, statistics.

The folders, in the order in which a benchmark uses them: `optimizers` (from
YAML files), `protocol` (rules, search spaces, targets), `suite` (what is
benchmarked, planned as trials), `trials` (one training run, timed and
audited), `statistics` (scores and how sure they are), `report`. `swap` puts an
optimizer into any SpeechBrain recipe.
"""

from leanbrain.optbench.statistics.score import (
    benchmark_scores,
    performance_profile,
)

__all__ = ["benchmark_scores", "performance_profile"]
