"""The scripts of tests/host as modules, and a Brain for their pruner."""

import importlib

import pytest
import speechbrain as sb
import torch


@pytest.fixture
def script(repo_root, monkeypatch):
    """Imports one of the scripts by its name."""
    monkeypatch.syspath_prepend(repo_root / "tests" / "host")
    return importlib.import_module


class TinyBrain(sb.Brain):
    """Regression on what it is given."""

    def compute_forward(self, batch, stage):
        return self.modules.model(batch)

    def compute_objectives(self, predictions, batch, stage):
        return (predictions - 2 * batch).pow(2).mean()


@pytest.fixture
def trained():
    """Trains a TinyBrain, always the same; returns it."""

    def train():
        torch.manual_seed(0)
        brain = TinyBrain(
            {"model": torch.nn.Linear(4, 4)},
            lambda parameters: torch.optim.AdamW(parameters, lr=0.1),
            run_opts={"device": "cpu", "noprogressbar": True},
        )
        # No loader yet, as in recipes: `fit` makes it.
        brain.fit(range(3), torch.randn(10, 4), None, None, {"batch_size": 5})
        return brain

    train.brain_class = TinyBrain
    return train
