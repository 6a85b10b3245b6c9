"""The least of a suite that runs every stage."""

import dataclasses

import pytest

from leanbrain.optbench.suite import planning
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.debugging import debug_suite
from leanbrain.optbench.suite.file import load_suite


@pytest.fixture
def suite(repo_root):
    return load_suite(
        repo_root / "recipes" / "OptimizerBenchmark" / "suites" / "cpu.yaml"
    ).suite


def test_one_trial_of_each_optimizer_and_nothing_beyond(suite):
    short = debug_suite(suite)
    entry = {"target": 10.0, "optimizer": "nadamw"}
    targets = {workload.name: entry for workload in suite.workloads}
    found = planning.plan_scores(short, Costs(), targets)
    cells = [(x.config["workload"], x.config["optimizer"]) for x in found]
    assert len(cells) == len(suite.workloads) * len(suite.optimizers)
    assert len(set(cells)) == len(cells)
    assert planning.plan_variants(short, Costs(), targets, []) == []
    searched = planning.plan_target_search(short, Costs())
    places = [(x.config["workload"], x.config["variant"]) for x in searched]
    assert len(set(places)) == len(places)


def test_all_else_is_as_it_was(suite):
    short = debug_suite(suite)
    same = dataclasses.replace(
        short, rules=suite.rules, calibration_steps=suite.calibration_steps
    )
    assert same == suite
