"""The demo: the control trains on exactly as the pruned models do."""

import importlib.util

import pytest
from hyperpyyaml import load_hyperpyyaml


@pytest.fixture(scope="module")
def demo(recipe):
    spec = importlib.util.spec_from_file_location("demo", recipe / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def training(demo, recipe, name, data_folder):
    """All of a run's YAML that decides how it is trained, as it is loaded."""
    _, overrides = demo.budgets(data_folder)
    own = overrides[name]
    if name != "dense":
        own = {**own, "dense_checkpoint": "x"}
    path = recipe / "hparams" / demo.RUNS[name]
    with open(path, encoding="utf-8") as stream:
        found = load_hyperpyyaml(stream, own)
    names = "total_steps number_of_epochs batches_per_epoch lr warmup_steps"
    names += " weight_decay max_batch_s temperature lstm_neurons seed"
    return {x: found[x] for x in names.split()} | {"method": own.get("method")}


@pytest.mark.parametrize("data_folder", ["", "mine"])
def test_the_control_trains_on_as_the_pruned_models(demo, recipe, data_folder):
    """Unequal totals would credit training to pruning."""
    runs = {x: training(demo, recipe, x, data_folder) for x in demo.RUNS}
    assert runs.pop("dense")["total_steps"] > 0
    assert runs["dense_trained_on"].pop("method") == "none"
    assert runs["fixed"].pop("method") == "one_shot"
    assert runs["adaptive"].pop("method") is None
    assert runs["dense_trained_on"] == runs["adaptive"] == runs["fixed"]
