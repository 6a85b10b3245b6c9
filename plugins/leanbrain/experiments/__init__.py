"""One engine for many independent runs, on one machine or on a cluster.

A trial is known by the hash of its configuration and has a folder of that
name. Whatever its end, it is recorded: first in the folder, then in a ledger.
Workers claim trials by locks, so that any number of them, started by any number
of launchers, share the work; what is interrupted goes on where it was.

    rows = run_trials([Trial("my_module:train", {"lr": lr, "seed": 1})
                       for lr in (0.1, 0.01)], root="results/rates")
"""

from leanbrain.experiments.backends import Backend, LocalPool, Worker
from leanbrain.experiments.cluster import SubmititPool
from leanbrain.experiments.engine import run_trials
from leanbrain.experiments.estimates import Estimate, estimate
from leanbrain.experiments.ledger import Ledger
from leanbrain.experiments.trials import STATUSES, Trial

__all__ = [
    "STATUSES",
    "Backend",
    "Estimate",
    "Ledger",
    "LocalPool",
    "SubmititPool",
    "Trial",
    "Worker",
    "estimate",
    "run_trials",
]
