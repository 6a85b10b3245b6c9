"""A Brain for each stage, fits within fits, and what a run ends with."""

from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter

from leanbrain.checks import UserError
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.host.outcome import outcome_of
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.stock import StockPruning

METHODS = Path(__file__).resolve().parents[4] / "hparams" / "pruning"
ADAM = partial(torch.optim.Adam, lr=0.05, weight_decay=0.01)


class Tiny(sb.Brain):
    """An autoencoder; saves after each epoch."""

    def compute_forward(self, batch, stage):
        return self.modules.a(batch[0])

    def compute_objectives(self, predictions, batch, stage):
        return (predictions - batch[0]).pow(2).mean()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.VALID and self.checkpointer is not None:
            meta = {"loss": stage_loss, "stage": self.hparams.stage}
            self.checkpointer.save_and_keep_only(meta=meta, min_keys=["loss"])


class Adversarial(Tiny):
    """Trains by fits of its own, as the MetricGAN recipes do."""

    within = "stage"

    def on_fit_start(self):
        if self.hparams.outer:
            super().on_fit_start()

    def on_stage_start(self, stage, epoch=None):
        if self.within == "stage" and stage == sb.Stage.TRAIN:
            self.fit_within()

    def fit_batch(self, batch):
        if self.within == "batch":
            self.fit_within()
        return super().fit_batch(batch)

    def fit_within(self):
        if self.hparams.outer:
            self.hparams.outer, step = False, self.step
            self.fit(range(1), data(8))
            self.hparams.outer, self.step = True, step


class WithinBatches(Adversarial):
    """Fits in each batch."""

    within = "batch"


def data(count=16):
    torch.manual_seed(0)
    samples = torch.utils.data.TensorDataset(torch.randn(count, 8))
    return torch.utils.data.DataLoader(samples, batch_size=4)


def parts(folder=None):
    torch.manual_seed(1)
    modules = {"a": torch.nn.Linear(8, 8)}
    checkpointer = folder and Checkpointer(folder, {"a": modules["a"]})
    return modules, checkpointer


def brain(modules, checkpointer=None, cls=Tiny, opt_class=ADAM, **hparams):
    options = {"device": "cpu", "noprogressbar": True}
    hparams = {"stage": 1, "outer": True, **hparams}
    return cls(modules, opt_class, hparams, options, checkpointer)


def stock(method="lap", **request):
    return StockPruning(PruningRequest(METHODS / f"{method}.yaml", **request))


def zeros(modules):
    return int((modules["a"].weight == 0).sum())


@pytest.mark.parametrize("total", [None, 20])
def test_a_brain_for_each_stage(tmp_path, caplog, total):
    modules, checkpointer = parts(tmp_path)
    counters = EpochCounter(2), EpochCounter(3)
    with stock(total_steps=total).patching() as pruning:
        for stage, counter in enumerate(counters, start=1):
            made = brain(modules, checkpointer, stage=stage)
            made.fit(counter, data(), data())
            final = stage == 2 or total is None
            assert zeros(modules) == 45 or not final
            made.evaluate(data(), min_key="loss")
    assert pruning.pruner.step == 20 and pruning.pruner.frozen
    chosen = checkpointer.find_checkpoint(min_key="loss")
    assert chosen.meta["stage"] == 2  # by far the lower loss
    assert zeros(modules) == 45
    sentence = pruning.summary()
    assert "Step 20 of 20: removed of 64 weights in 1 targets: all 70.3" in (
        sentence
    )
    assert "masks are final. Counted in the model that was ev" in sentence
    # Where nobody has said how long the script trains, that is said.
    assert ("goes on after its `total_steps` 8" in caplog.text) == (not total)


def test_a_brain_of_other_modules_is_none_of_the_stages(caplog):
    first, other = parts()[0], parts()[0]
    with caplog.at_level("INFO"), stock().patching() as pruning:
        brain(first).fit(range(2), data())
        second = brain(other)
        for _ in range(2):
            second.fit(range(1), data())
    assert caplog.text.count("Tiny is trained without pruning") == 1
    assert (zeros(first), zeros(other)) == (45, 0)
    assert pruning.pruner.step == 8 and "of 8:" in pruning.summary()
    assert pruning.summary().endswith(" Trained without pruning: Tiny.")


def test_copies_of_pruned_weights_are_told(caplog):
    first, _ = parts()
    with stock().patching() as pruning:
        brain(first).fit(range(2), data())
        brain(copied := deepcopy(first)).fit(range(2), data())
    assert (zeros(first), zeros(copied)) == (45, 0)
    assert "Tiny trains copies of pruned weights" in caplog.text
    assert pruning.summary().endswith(
        " Trained without pruning: Tiny (copies of pruned weights)."
    )


def test_matrices_of_a_later_brain_alone_are_told(caplog):
    modules, _ = parts()
    with stock().patching():
        for later in ({}, {"b": torch.nn.Linear(8, 8)}):
            assert "stay dense" not in caplog.text
            brain({**modules, **later}).fit(range(2), data())
    assert (
        "Tiny holds matrices that the first Brain with the pruner has not, "
        "which stay dense: b.weight." in caplog.text
    )


def test_a_brain_that_only_evaluates_averaged_weights_is_masked():
    modules, _ = parts()
    with stock().patching():
        brain(modules).fit(range(2), data())

        class Averaging(Tiny):
            def on_evaluate_start(self, max_key=None, min_key=None):
                with torch.no_grad():
                    self.modules.a.weight.add_(0.1)

            def on_stage_end(self, stage, stage_loss, epoch=None):
                self.zeros = zeros(modules)

        tester = brain(modules, cls=Averaging)
        tester.evaluate(data())
    assert tester.zeros == 45


def test_the_pruner_is_attached_to_each_brain():
    modules, _ = parts()
    pruner = PruningRequest(METHODS / "lap.yaml").build(16)
    for _ in range(2):
        pruner.attach(made := brain(modules))
        made.fit(range(2), data())
    assert pruner.frozen and pruner.step == 16 and zeros(modules) == 45
    assert pruner.optimizers == [made.optimizer]
    with pytest.raises(UserError, match="without 'a.weight'"):
        pruner.attach(brain(parts()[0]))


def test_stages_by_yaml_alone():
    modules, _ = parts()
    pruner = PruningRequest(METHODS / "lap.yaml").build(16)
    opt_class = PrunedOptimizer(ADAM, pruner, modules)
    for _ in range(2):
        brain(modules, opt_class=opt_class).fit(range(2), data())
    assert pruner.frozen and pruner.step == 16 and zeros(modules) == 45


@pytest.mark.parametrize("cls", [Adversarial, WithinBatches])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_fits_within_a_fit_do_not_count(cls, accumulation, caplog):
    modules, _ = parts()
    made = brain(modules, cls=cls)
    made.grad_accumulation_factor = accumulation
    frozen = []
    end = made.on_fit_batch_end

    def noting(*args):
        frozen.append(pruning.pruner.frozen)
        end(*args)

    made.on_fit_batch_end = noting
    with stock().patching() as pruning:
        made.fit(range(2), data())
    steps = 8 // accumulation
    assert pruning.summary().startswith(f"Step {steps} of {steps}: removed")
    assert pruning.pruner.frozen and zeros(modules) == 45
    assert not any(frozen[: len(frozen) // 2 - 1])
    assert "Training" not in caplog.text


def test_a_brain_that_another_one_fits_within_its_batches():
    """On the same weights: its steps are seen, and are none of the run."""
    modules, _ = parts()
    inner = brain(modules)

    class Outer(Tiny):
        def fit_batch(self, batch):
            inner.fit(range(1), data(8))
            return super().fit_batch(batch)

    with stock().patching() as pruning:
        brain(modules, cls=Outer).fit(range(2), data())
    assert zeros(modules) == 45 and not inner.optimizer_step == 0
    assert pruning.summary().startswith("Step 8 of 8: removed")


def test_a_module_that_a_yaml_leaves_out():
    """`word_emb: null` of the recipes of G2P."""
    modules, _ = parts()
    with stock().patching():
        brain({**modules, "word_emb": None}).fit(range(2), data())
    assert zeros(modules) == 45


def test_more_fits_than_were_planned_are_told(caplog):
    modules, _ = parts()
    made = brain(modules)
    with stock().patching() as pruning:
        for _ in range(3):
            made.fit(range(1), data())
    assert caplog.text.count("goes on after its `total_steps` 4") == 1
    assert pruning.summary().startswith("Step 12 of 12: removed")


# -- read off the weights -----------------------------------------------------


def trained(folder):
    modules, checkpointer = parts(folder)
    pruning = stock()
    with pruning.patching():
        made = brain(modules, checkpointer)
        made.fit(EpochCounter(2), data(), data())
    return pruning, modules, checkpointer


def test_the_checkpoint_that_will_be_loaded_is_counted(tmp_path):
    pruning, modules, checkpointer = trained(tmp_path)
    with torch.no_grad():
        modules["a"].weight.zero_()  # of the model in memory alone
    assert "all 70.31%; masks are final. Counted in the checkpoint CKPT+" in (
        pruning.summary()
    )
    found = checkpointer.find_checkpoint()
    state = torch.load(found.paramfiles["a"])
    state["weight"].fill_(1.0)
    torch.save(state, found.paramfiles["a"])
    sentence = pruning.summary()
    assert "all 0.00%" in sentence
    assert "BUT 45 weights are not zero where the masks are." in sentence


def test_weights_that_no_checkpoint_holds_are_told(tmp_path):
    pruning, _, checkpointer = trained(tmp_path)
    checkpointer.find_checkpoint().paramfiles["a"].unlink()
    found = outcome_of(pruning.pruner, checkpointer, evaluated=False)
    assert found.unsaved == ("a.weight",)
    assert "has no weights of 1 targets: a.weight" in found.sentence(8)


def test_a_step_beyond_the_plan_is_no_step_of_it(tmp_path):
    pruning, _, checkpointer = trained(tmp_path)
    found = outcome_of(pruning.pruner, checkpointer, evaluated=True)
    assert found.step == 8
    assert found.sentence(4).startswith("Step 8 of 8:")
