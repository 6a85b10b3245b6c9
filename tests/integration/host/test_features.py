"""Options of SpeechBrain's command line, with a pruner attached."""

from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters


@pytest.fixture
def compiled(monkeypatch):
    """Brain's own `--compile`, without the C compiler of inductor."""
    torch._dynamo.reset()
    counters.clear()
    compile_traced = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compile_traced)
    yield {"compile": True, "compile_mode": "default"}
    torch._dynamo.reset()


class Dense(torch.nn.Module):
    """What can be traced and scripted: linear, convolution, raw parameter."""

    def __init__(self, size):
        super().__init__()
        self.first = torch.nn.Linear(size, 2 * size)
        self.conv = torch.nn.Conv1d(2 * size, size, 3, padding=1)
        self.raw = torch.nn.Parameter(torch.randn(size, size) * 0.3)

    def forward(self, x):
        x = torch.tanh(self.first(x)).transpose(1, 2)
        return self.conv(x).transpose(1, 2) @ self.raw


def fit(toy, brain_of, **options):
    """Trains the module above with a pruner; returns both."""
    torch.manual_seed(0)
    model, pruner = Dense(toy.FEATURES), toy.make_pruner()
    brain = brain_of(toy.Brain, pruner, model=model, **options)
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    return brain, pruner


def assert_same_training(one, other):
    """The same masks at the end, and the same weights but for rounding."""
    assert one.frozen and one.masks.digest() == other.masks.digest()
    for target in one.targets:
        torch.testing.assert_close(
            one.switch.dense(target.name), other.switch.dense(target.name)
        )


def test_compile(toy, brain_of, compiled):
    """One graph for all pathways and masks: nothing is compiled again."""
    _, eager = fit(toy, brain_of)
    assert not counters["stats"]
    brain, pruner = fit(toy, brain_of, **compiled)
    assert type(brain.modules["model"]).__name__ == "OptimizedModule"
    # One to train, one to validate.
    assert counters["stats"]["unique_graphs"] == 2
    assert_same_training(eager, pruner)


def test_jit(toy, brain_of):
    _, eager = fit(toy, brain_of)
    brain, pruner = fit(toy, brain_of, jit=True, jit_module_keys=["model"])
    assert isinstance(brain.modules["model"], torch.jit.ScriptModule)
    assert_same_training(eager, pruner)


def test_debug(toy, tmp_path, caplog):
    """A few batches, then an evaluation; the save folder stays as it was."""
    pruner = toy.make_pruner(total_steps=1000)
    options = {"debug": True, "debug_batches": 2, "debug_epochs": 1}
    brain = toy.make_brain(tmp_path, pruner, **options)
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    assert (pruner.step, pruner.started) == (2, True)
    assert "Training ended at step" not in caplog.text
    assert torch.isfinite(torch.tensor(brain.evaluate(toy.loader(2))))
    assert not list(tmp_path.iterdir())


def test_a_debugged_run_may_end_before_masks_begin(toy, tmp_path, caplog):
    """`--debug` shows that everything runs: the evaluation too."""
    pruner = toy.make_pruner(total_steps=1000, begin=0.5)
    options = {"debug": True, "debug_batches": 2, "debug_epochs": 1}
    brain = toy.make_brain(tmp_path, pruner, **options)
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    assert (pruner.step, pruner.started) == (2, False)
    assert torch.isfinite(torch.tensor(brain.evaluate(toy.loader(2))))
    assert "is of step 2, before the masks" in caplog.text


def test_frozen_modules_are_no_targets(toy):
    """They neither get masks nor change."""
    brain = toy.make_brain()
    model = brain.modules.model
    for parameter in model.attention.parameters():
        parameter.requires_grad_(False)
    frozen = [p.detach().clone() for p in model.attention.parameters()]
    pruner = toy.make_pruner().attach(brain)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen and pruner.targets
    assert not any("attention" in t.name for t in pruner.targets)
    for parameter, old in zip(
        model.attention.parameters(), frozen, strict=True
    ):
        assert torch.equal(parameter, old)
