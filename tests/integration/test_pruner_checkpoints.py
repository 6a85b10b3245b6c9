"""Saving, resuming, averaging, and loading without the plugin."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.host.checkpoints import (
    newest_checkpoint,
    require_dense,
    require_pruned,
)
from leanbrain.pruning.schedules import constant
from leanbrain.pruning.updates.rules import prune_only


class Stop(Exception):
    """Interrupts a run as a crash would."""


def snapshot(brain, pruner):
    return {
        "parameters": [p.detach().clone() for p in brain.modules.parameters()],
        "dense": [pruner.switch.dense(t.name).clone() for t in pruner.targets],
        "digest": pruner.masks.digest(),
        "moments": [
            value.clone()
            for state in brain.optimizer.state.values()
            for value in state.values()
        ],
    }


def assert_same(a, b):
    assert a["digest"] == b["digest"]
    for key in ("parameters", "dense", "moments"):
        assert len(a[key]) == len(b[key]) > 0
        for x, y in zip(a[key], b[key], strict=False):
            assert torch.equal(x, y), key


def run(toy, folder, stop_at=None, high=(), **settings):
    """Trains with a checkpoint every 3 steps; optionally dies.

    After as many steps as are in `high` the guard sees huge losses.
    """
    pruner = toy.make_pruner(**settings)
    see = pruner.guard_loss
    pruner.guard_loss = lambda pathway, loss: see(
        pathway, loss * (1e3 if pruner.step in high else 1.0)
    )
    brain = toy.make_brain(
        folder, pruner, dropout=0.2, ckpt_interval_steps=3, epochs=2
    )
    if stop_at is not None:
        finish = pruner.finish_step

        def dying():
            finish()
            if pruner.step == stop_at:
                raise Stop

        pruner.finish_step = dying
    loader = brain.make_dataloader(
        toy.loader().dataset,
        stage=sb.Stage.TRAIN,
        batch_size=None,
        collate_fn=toy.identity,
        generator=torch.Generator().manual_seed(0),
    )
    brain.fit(brain.counter, loader, toy.loader(2))
    return brain, pruner


@pytest.mark.parametrize("stop_at", [2, 5, 7, 11, 16, 19])
def test_resume_equals_a_straight_run_bit_for_bit(toy, tmp_path, stop_at):
    straight = snapshot(*run(toy, tmp_path / "a"))
    with pytest.raises(Stop):
        run(toy, tmp_path / "b", stop_at)
    assert_same(straight, snapshot(*run(toy, tmp_path / "b")))


@pytest.mark.parametrize("stop_at", [5, 11])
def test_resume_goes_on_with_what_the_guard_holds(toy, tmp_path, stop_at):
    high = range(3, 9)
    first, straight = run(toy, tmp_path / "a", high=high)
    with pytest.raises(Stop):
        run(toy, tmp_path / "b", stop_at, high=high)
    second, resumed = run(toy, tmp_path / "b", high=high)
    assert_same(snapshot(first, straight), snapshot(second, resumed))
    assert resumed.guard.state_dict() == straight.guard.state_dict()
    assert any(straight.guard.lag.values())
    sparsities = [1 - straight.masks.density(p) for p in toy.LANGUAGES]
    assert min(sparsities) < 0.69


def test_every_checkpoint_is_the_sparse_model(toy, tmp_path):
    with pytest.raises(Stop):
        run(toy, tmp_path, stop_at=14)
    files = list(tmp_path.glob("CKPT*/model.ckpt"))
    assert files
    for file in files:
        state = torch.load(file, weights_only=True)
        plain = toy.Model()
        plain.load_state_dict(state, strict=True)
        assert (state["raw"] == 0).float().mean() > 0.1
        assert set(state) == set(plain.state_dict())


def test_loads_without_the_plugin(toy, tmp_path):
    """A process that cannot import leanbrain gets the same outputs."""
    brain, pruner = run(toy, tmp_path / "run")
    x = torch.randn(2, 5, toy.FEATURES)
    brain.modules.eval()
    with torch.no_grad():
        expected = brain.modules.model(x)
    weights = brain.modules.model.state_dict()
    saved = {"x": x, "expected": expected, "weights": weights}
    torch.save(saved, tmp_path / "io.pt")
    file = newest_checkpoint(tmp_path / "run") / "model.ckpt"
    code = f"""
import sys
sys.modules["leanbrain"] = None
import torch
from speechbrain.utils.parameter_transfer import Pretrainer
from stock_model import ToyModel
model = ToyModel()
pre = Pretrainer(
    collect_in={str(tmp_path / "collect")!r},
    loadables={{"model": model}},
    paths={{"model": {str(file)!r}}},
)
pre.collect_files()
pre.load_collected()
io = torch.load({str(tmp_path / "io.pt")!r})
model.eval()
with torch.no_grad():
    # Sums may differ in the last bit with the alignment of the memory.
    torch.testing.assert_close(model(io["x"]), io["expected"])
for name, weight in model.state_dict().items():
    assert torch.equal(weight, io["weights"][name]), name
print("same")
"""
    source = Path(__file__).with_name("conftest.py").read_text()
    start = source.index("class ToyModel")
    stock = (
        "import torch\nFEATURES = 8\n"
        + source[start : source.index("class ToyBrain")]
    )
    (tmp_path / "stock_model.py").write_text(stock)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("same"), done.stderr


def test_averaging_keeps_the_target_sparsity(toy, tmp_path):
    """The mean of checkpoints with different masks is re-masked for tests."""
    brain, pruner = run(toy, tmp_path)
    parameter = dict(brain.modules.named_parameters())["model.raw"]
    mask = pruner.masks.get("en", "model.raw") | pruner.masks.get(
        "fr", "model.raw"
    )
    averaged = torch.full_like(parameter, 0.25)
    state = brain.modules.model.state_dict()
    state["raw"] = averaged
    brain.modules.model.load_state_dict(state)
    brain.on_stage_start(sb.Stage.TEST)
    assert torch.equal(parameter.detach(), torch.where(mask, averaged, 0.0))


def test_a_dense_checkpoint_starts_a_pruning_run(toy, tmp_path):
    dense = toy.make_brain(tmp_path, epochs=1)
    dense.fit(dense.counter, toy.loader(), toy.loader(2))
    trained = dense.modules.model.raw.detach().clone()
    pruner = toy.make_pruner()
    brain = toy.make_brain(tmp_path, pruner, epochs=1, seed=9)
    brain.init_optimizers()
    brain.checkpointer.recover_if_possible()
    pruner.start()
    assert torch.equal(pruner.switch.dense("model.raw"), trained)


def test_evaluating_a_dense_checkpoint_with_a_pruner_is_refused(toy, tmp_path):
    dense = toy.make_brain(tmp_path, epochs=1)
    dense.fit(dense.counter, toy.loader(), toy.loader(2))
    brain = toy.make_brain(tmp_path, toy.make_pruner())
    with pytest.raises(UserError, match="checkpoint with pruner.ckpt"):
        brain.evaluate(toy.loader(2))


def test_checkpoints_are_told_apart(toy, tmp_path):
    run(toy, tmp_path / "pruned")
    dense = toy.make_brain(tmp_path / "dense", epochs=1)
    dense.fit(dense.counter, toy.loader(), toy.loader(2))
    require_dense(tmp_path / "dense")
    require_pruned(tmp_path / "pruned")
    require_dense(tmp_path / "nothing")
    with pytest.raises(UserError, match="must start from a dense checkpoint"):
        require_dense(tmp_path / "pruned")
    with pytest.raises(UserError, match="without pruner.ckpt"):
        require_pruned(tmp_path / "dense")


def test_a_sparse_model_without_its_pruner_file_warns(toy, tmp_path, caplog):
    brain, _ = run(toy, tmp_path)
    second = toy.make_pruner()
    other = toy.make_brain(pruner=second)
    other.modules.model.load_state_dict(brain.modules.model.state_dict())
    second.start()
    assert "loaded without its pruner.ckpt" in caplog.text


def test_other_pathways_in_the_checkpoint_are_refused(toy, tmp_path):
    run(toy, tmp_path)
    pruner = toy.make_pruner(pathways=("en", "nl"))
    brain = toy.make_brain(tmp_path, pruner)
    with pytest.raises(UserError, match="nl"):
        brain.fit(brain.counter, toy.loader(), None)


def test_yaml_only_single_pathway(toy, tmp_path):
    """A stock Brain and train script; only opt_class is different."""
    from leanbrain.pruning.host.opt_class import PrunedOptimizer
    from leanbrain.pruning.pruner import AdaptivePruner

    def one_run(folder, epochs):
        brain = toy.make_brain(folder, epochs=epochs)
        pruner = AdaptivePruner(
            partial(constant, sparsity=0.5), 10, 1, update=None
        )
        brain.opt_class = PrunedOptimizer(
            brain.opt_class, pruner, brain.modules, brain.checkpointer
        )
        brain.fit(brain.counter, toy.loader(), toy.loader(2))
        return brain, pruner

    straight, pruner = one_run(tmp_path / "a", 2)
    for target in pruner.targets:
        zeros = int((target.parameter == 0).sum())
        assert zeros == target.parameter.numel() - round(
            target.parameter.numel() / 2
        )
    one_run(tmp_path / "b", 1)
    resumed, _ = one_run(tmp_path / "b", 2)
    for a, b in zip(
        straight.modules.parameters(),
        resumed.modules.parameters(),
        strict=False,
    ):
        assert torch.equal(a, b)


def test_yaml_only_refuses_several_pathways(toy):
    from leanbrain.pruning.host.opt_class import PrunedOptimizer

    with pytest.raises(UserError, match="single pathway .* got 2"):
        PrunedOptimizer(torch.optim.SGD, toy.make_pruner(), {"m": toy.Model()})


def test_yaml_only_takes_final_checkpoints_first(toy, tmp_path):
    """A stock script evaluates its best checkpoint: an early, dense one."""
    from leanbrain.pruning.host.opt_class import PrunedOptimizer

    brain, pruner = toy.make_brain(tmp_path), toy.make_pruner(pathways=["all"])
    checkpointer = brain.checkpointer
    PrunedOptimizer(torch.optim.SGD, pruner, brain.modules, checkpointer)
    checkpointer.save_checkpoint(meta={"loss": 0.1})
    pruner.frozen = True
    final = checkpointer.save_checkpoint(meta={"loss": 0.2})
    checkpointer.save_checkpoint(meta={"loss": 0.3})
    assert checkpointer.find_checkpoint(min_key="loss").path == final.path


def test_other_scores_than_those_of_the_checkpoint_are_refused(toy, tmp_path):
    run(toy, tmp_path, update=prune_only, growth=None)
    with pytest.raises(UserError, match="began with, none; got growth"):
        run(toy, tmp_path)


def test_one_file_per_pathway(toy, tmp_path):
    """What a stock model evaluates as a language: its own weights alone."""
    brain, pruner = run(toy, tmp_path)
    model = brain.modules.model.eval()
    x = torch.randn(2, 5, toy.FEATURES)
    for name in toy.LANGUAGES:
        with pruner.switch.pathway(name), torch.no_grad():
            torch.save(model.state_dict(), tmp_path / f"{name}.ckpt")
            expected = model(x)
        plain = toy.Model()
        plain.load_state_dict(torch.load(tmp_path / f"{name}.ckpt"))
        with torch.no_grad():
            torch.testing.assert_close(plain.eval()(x), expected)
