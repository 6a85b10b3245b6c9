"""A pruner finds its Brain, its steps and its targets by itself."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.dataloader import LoopedLoader
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter

from leanbrain.checks import UserError
from leanbrain.pruning.host.final_checkpoints import (
    prefer_final,
    saved_total_steps,
)
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.run_length import optimizer_steps
from leanbrain.pruning.host.stock import StockPruning
from leanbrain.pruning.methods import load_method

METHODS = Path(__file__).resolve().parents[4] / "hparams" / "pruning"
SGD = partial(torch.optim.SGD, lr=0.1)


class Tiny(sb.Brain):
    """Regression of zeros."""

    def compute_forward(self, batch, stage):
        return self.modules["b"](self.modules["a"](batch[0]))

    def compute_objectives(self, predictions, batch, stage):
        return predictions.pow(2).mean()


class Other(Tiny):
    """Another class."""


class TwoOptimizers(Tiny):
    """Each module has its own; one of them is not trained at all."""

    def init_optimizers(self):
        self.warmed_up = False
        self.optimizers_dict = {"a": SGD(self.modules["a"].parameters())}
        self.checkpointer.add_recoverable("a_opt", self.optimizers_dict["a"])


def brain(cls=Tiny, opt_class=SGD, **options):
    modules = {"a": torch.nn.Linear(4, 4), "b": torch.nn.Linear(4, 2)}
    checkpointer = options.pop("checkpointer", None)
    options = {"device": "cpu", "noprogressbar": True, **options}
    return cls(modules, opt_class, {}, options, checkpointer)


def data(count=3):
    return torch.utils.data.TensorDataset(torch.ones(count, 4))


def stock(method="one_shot", **request):
    return StockPruning(PruningRequest(METHODS / f"{method}.yaml", **request))


# -- the length of a run ------------------------------------------------------

LENGTHS = [  # options of the Brain, epochs, batches -> steps
    ({}, range(3), [0] * 7, 21),
    ({}, EpochCounter(3), [0] * 7, 21),
    ({"grad_accumulation_factor": 3}, range(3), [0] * 7, 6),
    ({"debug": True}, range(9), [0] * 7, 4),
    ({"debug": True, "debug_batches": 5}, range(1), [0] * 3, 3),
    ({"optimizer_step_limit": 10}, range(3), [0] * 7, 10),
    ({"optimizer_step_limit": 99}, range(3), [0] * 7, 21),
    ({}, range(3), LoopedLoader([0], 5), 15),
]


@pytest.mark.parametrize("case", range(len(LENGTHS)))
def test_steps_of_a_run(case):
    options, epochs, loader, steps = LENGTHS[case]
    assert optimizer_steps(brain(**options), epochs, loader) == steps


def test_epochs_that_were_done_count():
    counter = EpochCounter(4)
    next(counter)
    assert optimizer_steps(brain(), counter, [0]) == 4


@pytest.mark.parametrize(
    ("epochs", "loader", "sentence"),
    [
        (iter([1]), [0], "epochs cannot be counted, got a list_iterator"),
        (range(2), iter([0]), "train loader has no length, got a list_it"),
        (range(2), [], "got 2 epochs of 0 batches"),
    ],
)
def test_runs_without_length(epochs, loader, sentence):
    with pytest.raises(UserError, match=sentence):
        optimizer_steps(brain(), epochs, loader)


# -- which targets ------------------------------------------------------------


def test_targets_without_optimizer_are_named_and_left_out(tmp_path, caplog):
    made = brain(TwoOptimizers)
    made.checkpointer = Checkpointer(tmp_path, {"model": made.modules})
    pruner = PruningRequest(METHODS / "one_shot.yaml").build(9).attach(made)
    made.init_optimizers()
    assert [t.name for t in pruner.targets] == ["a.weight"]
    assert pruner.left_out == {"b.weight": "in no optimizer"}


@pytest.mark.parametrize("pruned", ["attach", "yaml"])
def test_nothing_that_is_trained_is_left_to_prune(pruned):
    pruner = PruningRequest(METHODS / "one_shot.yaml").build(9)
    stranger = [torch.nn.Parameter(torch.ones(1))]
    made = brain(opt_class=lambda _: SGD(stranger))
    if pruned == "attach":
        pruner.attach(made)
    else:
        made.opt_class = PrunedOptimizer(made.opt_class, pruner, made.modules)
    with pytest.raises(UserError, match="saved, got none of 2 .in no opt"):
        made.init_optimizers()


# -- which Brain --------------------------------------------------------------


@pytest.mark.parametrize(("named", "chosen"), [(None, 0), ("Other", 1)])
def test_first_brain_or_the_named_one(named, chosen):
    brains = [brain(), brain(Other)]
    pruning = stock(brain=named)
    with pruning.patching():
        for made in brains:
            made.fit(range(2), data())
            made.fit(range(1), data())  # once more: not attached again
    assert pruning.brain is brains[chosen]
    assert pruning.pruner.plan.total_steps == 6
    weight = brains[chosen].modules["a"].weight
    assert int((weight == 0).sum()) == 11
    other = brains[1 - chosen].modules["a"].weight
    assert int((other == 0).sum()) == 0
    pruning.check_done()


def test_overridden_fit_runs_once():
    class Counting(Tiny):
        fits = 0

        def fit(self, *args, **kwargs):
            self.fits += 1
            super().fit(*args, **kwargs)

    made = brain(Counting)
    with stock().patching():
        made.fit(range(1), data())
        made.fit(range(1), data())
    assert made.fits == 2


def test_pruned_brain_may_be_evaluated_before_it_is_fitted(tmp_path):
    def started():
        made = brain(checkpointer=Checkpointer(tmp_path))
        made.checkpointer.add_recoverable("model", made.modules)
        return made

    with stock().patching():
        first = started()
        first.fit(range(2), data())
        first.checkpointer.save_checkpoint()
    second = started()
    with stock().patching() as pruning:
        second.evaluate(data())
        second.fit(range(1), data())
    assert pruning.brain is second
    assert pruning.pruner.plan.total_steps == 6
    assert pruning.pruner.step == 9


def test_another_pruning_does_not_continue_a_run(tmp_path):
    """Its masks are final: what is asked for now would never come."""

    def fit(epochs, **settings):
        made = brain(checkpointer=Checkpointer(tmp_path))
        made.checkpointer.add_recoverable("model", made.modules)
        with stock(settings=settings).patching():
            made.fit(range(epochs), data())
            made.checkpointer.save_checkpoint()

    fit(1, sparsity=0.5)
    fit(2, sparsity=0.5)
    began = r"own pruning .*, got `sparsity` 0\.8, where it began with 0\.5\."
    with pytest.raises(UserError, match=began):
        fit(2, sparsity=0.8)
    with pytest.raises(UserError, match=r"`sparsity` 0\.7, where it began"):
        fit(2)


def test_what_a_run_was_asked_for_is_told_by_its_values(tmp_path):
    """Not by the name of a file, nor by what was typed."""

    def fit(method="lap", folder=METHODS, **request):
        made = brain(checkpointer=Checkpointer(tmp_path))
        made.checkpointer.add_recoverable("model", made.modules)
        asked = PruningRequest(folder / f"{method}.yaml", **request)
        with StockPruning(asked).patching():
            made.fit(range(1), data())
            made.checkpointer.save_checkpoint()

    fit("one_shot", total_steps=6)
    # The file's own value is no other.
    fit("one_shot", settings={"sparsity": 0.7}, total_steps=6)
    own = tmp_path / "own"
    own.mkdir()
    text = (METHODS / "one_shot.yaml").read_text()
    (own / "one_shot.yaml").write_text("# a comment more\n" + text)
    fit("one_shot", own)
    (own / "one_shot.yaml").write_text(text.replace("0.7", "0.2"))
    refused = {
        r"`sparsity` 0\.2, where it began with 0\.7": {"folder": own},
        r"`exclude` \['b'\], where it began with none": {"exclude": ["b"]},
        r"`total_steps` 7, where it began with 6": {"total_steps": 7},
        r"the file lap.yaml, where it began with one_shot": {"method": "lap"},
    }
    for sentence, asked in refused.items():
        with pytest.raises(UserError, match=sentence):
            fit(**{"method": "one_shot", **asked})


def test_names_of_pathways_for_a_method_that_has_one_mask():
    request = PruningRequest(METHODS / "lap.yaml", pathways=["en", "fr"])
    with pytest.raises(UserError, match=r"left out for .*lap.yaml.*got en fr"):
        request.check()


def test_a_brain_that_no_class_is_called_is_said_before_it_trains():
    made = brain()
    with (
        stock(brain="Nope").patching(),
        pytest.raises(UserError, match=r"a Brain of the script, got 'Nope'"),
    ):
        made.fit(range(1), data())
    assert made.optimizer_step == 0


def test_fit_is_put_back_also_after_an_error():
    fit, evaluate = sb.Brain.fit, sb.Brain.evaluate
    with pytest.raises(RuntimeError, match="stop"), stock().patching():
        assert sb.Brain.fit is not fit and sb.Brain.evaluate is not evaluate
        raise RuntimeError("stop")
    assert sb.Brain.fit is fit and sb.Brain.evaluate is evaluate


def test_brain_with_a_pruning_optimizer_is_refused():
    modules = {"a": torch.nn.Linear(4, 4)}
    pruner = load_method(METHODS / "one_shot.yaml", total_steps=9, pathways=[])[
        "pruner"
    ]
    made = brain(opt_class=PrunedOptimizer(SGD, pruner, modules))
    with (
        stock().patching(),
        pytest.raises(UserError, match="must have no pruner"),
    ):
        made.fit(range(1), data())


def test_settings_reach_the_pruner():
    request = PruningRequest(
        METHODS / "adaptive.yaml",
        {"sparsity": 0.4},
        ["en", "fr"],
        "accent",
        ["a.*"],
        ["b.*"],
    )
    pruner = request.build(30)
    assert pruner.plan.total_steps == 30 and pruner.plan.sparsity(30) == 0.4
    assert pruner.pathways == ("en", "fr")
    assert pruner.pathway_of(SimpleNamespace(accent=["fr"])) == "fr"
    assert pruner.include == ["a.*"] and pruner.exclude == ["b.*"]


@pytest.mark.parametrize(
    ("method", "settings", "sentence"),
    [
        ("one_shot", {"sparsty": 0.5}, "nearest: sparsity"),
        ("one_shot", {"sparsity": 1.5}, r"must be in \[0, 1\), got 1.5"),
        ("one_shot", {"total_steps": 5}, "given as `--total_steps`"),
        ("fixed_pathways", {}, "must be given `initial_masks`"),
        ("no_such", {}, "no_such.yaml does not exist"),
    ],
)
def test_settings_are_checked_before_the_script(method, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        PruningRequest(METHODS / f"{method}.yaml", settings).check()


# -- which checkpoint ---------------------------------------------------------


def saving(folder, finals):
    """Checkpoints of falling quality; the pruner freezes as told."""
    pruner = SimpleNamespace(frozen=False, plan=SimpleNamespace(total_steps=7))
    checkpointer = Checkpointer(folder)
    prefer_final(pruner, checkpointer)
    for loss, frozen in enumerate(finals):
        pruner.frozen = frozen
        checkpointer.save_checkpoint(meta={"loss": loss})
    return checkpointer


@pytest.mark.parametrize(
    ("finals", "best", "averaged"),
    [((0, 0, 1, 1), 2, [2, 3]), ((0, 0), 0, [0, 1]), ((1, 1), 0, [0, 1])],
)
def test_final_checkpoints_come_first(tmp_path, finals, best, averaged):
    checkpointer = saving(tmp_path, finals)
    assert checkpointer.find_checkpoint(min_key="loss").meta["loss"] == best
    found = checkpointer.find_checkpoints(min_key="loss", max_num_checkpoints=3)
    assert [c.meta["loss"] for c in found] == averaged


def test_the_best_final_checkpoint_is_kept(tmp_path):
    checkpointer = saving(tmp_path, (0, 0, 1, 1, 1))
    checkpointer.delete_checkpoints(num_to_keep=1, min_keys=["loss"])
    left = sorted(c.meta["loss"] for c in checkpointer.list_checkpoints())
    assert left == [2, 4]  # the best and the newest


def test_dense_checkpoints_say_no_length(tmp_path):
    checkpointer = saving(tmp_path, (1,))
    assert saved_total_steps(None) is None
    assert saved_total_steps(checkpointer) is None  # no pruner.ckpt
    folder = checkpointer.find_checkpoint().path
    (folder / "pruner.ckpt").write_bytes(b"")
    assert saved_total_steps(checkpointer) == 7
    plain = Checkpointer(tmp_path / "other")
    saved = plain.save_checkpoint()
    (saved.path / "pruner.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match="otherwise than by `leanbrain run`"):
        saved_total_steps(plain)
