"""The least of a suite that still runs every stage."""

from __future__ import annotations

from dataclasses import replace

from leanbrain.optbench.suite.suite import Suite

__all__ = ["debug_suite"]


def debug_suite(suite: Suite) -> Suite:
    """Cuts a suite down to what shows whether it runs.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.

    Returns
    -------
    Suite
        The same workloads, data and optimizers; one study of one trial, one
        point and one seed of one optimizer for a target, no variants.
    """
    rules = suite.rules
    target = replace(
        rules.target, optimizers=rules.target.optimizers[:1], points=1, seeds=1
    )
    rules = replace(
        rules, studies=1, trials_per_study=1, variants=False, target=target
    )
    return replace(suite, rules=rules, calibration_steps=2)
