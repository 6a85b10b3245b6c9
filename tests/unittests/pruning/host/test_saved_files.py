"""What a checkpoint says of its own files."""

from functools import partial

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.files import load_tensors
from leanbrain.pruning.host.attach import register
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.schedules import constant


@pytest.fixture
def network():
    layers = {"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)}
    layers["c"] = torch.nn.Linear(3, 3)
    layers["c"].weight = layers["a"].weight
    return torch.nn.ModuleDict(layers)


@pytest.fixture
def pruner(network):
    schedule = partial(constant, sparsity=0.5)
    made = AdaptivePruner(schedule, 9, 1, update=None, exclude=())
    made.manage({"net": network})
    return made


def said(checkpoint):
    file = checkpoint.paramfiles["pruner"]
    state = load_tensors(file, kind="leanbrain.pruner", version=1)["state"]
    return state["saved_as"]


def test_names_of_files_keys_and_targets(pruner, network, tmp_path):
    counter = torch.optim.SGD(network.parameters(), lr=0.1)  # no module
    things = {"model": torch.nn.ModuleList([network]), "c": network["c"]}
    checkpointer = Checkpointer(tmp_path, {**things, "optimizer": counter})
    register(pruner, checkpointer)
    # Recipes add modules after the pruner.
    checkpointer.add_recoverable("norm", torch.nn.BatchNorm1d(3))
    found = said(checkpointer.save_checkpoint())
    assert found["best_by"] == []
    assert found["modules"] == {
        "model": {
            "0.a.weight": "net.a.weight",
            "0.b.weight": "net.b.weight",
            "0.c.weight": "net.a.weight",
        },
        "c": {"weight": "net.a.weight"},
        "norm": {},
    }


def test_each_checkpointer_says_its_own(pruner, network, tmp_path):
    both = [
        Checkpointer(tmp_path / name, {name: network}) for name in ("x", "y")
    ]
    for checkpointer in both:
        register(pruner, checkpointer)
    for name, checkpointer in zip("xy", both, strict=True):
        assert set(said(checkpointer.save_checkpoint())["modules"]) == {name}


@pytest.mark.parametrize(
    ("keys", "best_by"),
    [
        ({"min_keys": ["WER", "loss"]}, [["min", "WER"], ["min", "loss"]]),
        ({"max_keys": ["ACC"]}, [["max", "ACC"]]),
        ({}, []),
    ],
)
def test_what_the_recipe_keeps_is_noted(
    pruner, network, tmp_path, keys, best_by
):
    checkpointer = Checkpointer(tmp_path, {"model": network})
    register(pruner, checkpointer)
    meta = {"WER": 1.0, "loss": 2.0, "ACC": 3.0}
    checkpointer.save_and_keep_only(meta, **keys)
    assert said(checkpointer.find_checkpoint())["best_by"] == best_by
