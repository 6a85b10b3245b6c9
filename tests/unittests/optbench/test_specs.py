"""Optimizer files: what is read, what is built, what is refused."""

import math
import sys

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import load_optimizer

TEXT = """
name: mine
source: by definition
needs: null
expected_class: torch.optim.SGD
lr: 1e-1
one_minus_beta1: 0.1
opt_class: !name:torch.optim.SGD
    lr: !ref <lr>
    momentum: !ref 1 - <one_minus_beta1>
lr_schedule: !name:leanbrain.optbench.optimizers.schedules.constant
search_space:
    lr: {min: 1e-2, max: 1.0, scaling: log}
"""


def weight():
    return [torch.nn.Parameter(torch.ones(2))]


def with_class(name, arguments="{lr: !ref <lr>}"):
    """The file with another `opt_class`, which may name this module's own."""
    head, tail = TEXT.split("opt_class: !name:torch.optim.SGD\n", 1)
    tail = tail[tail.index("lr_schedule") :]
    return f"{head}opt_class: !name:{name} {arguments}\n{tail}"


def test_a_file_and_its_text_say_the_same(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(TEXT)
    spec = load_optimizer(file)
    assert spec.text == TEXT
    assert spec.hyperparameters == {"lr": 0.1, "one_minus_beta1": 0.1}
    assert spec.hyperparameters == load_optimizer(text=TEXT).hyperparameters
    assert spec.search_space["lr"]["min"] == 0.01


def test_overrides_reach_the_optimizer():
    overrides = {"lr": 0.5, "one_minus_beta1": 0.25}
    spec = load_optimizer(text=TEXT, overrides=overrides)
    group = spec.build(weight()).param_groups[0]
    assert (group["lr"], group["momentum"]) == (0.5, 0.75)
    assert spec.hyperparameters == overrides


@pytest.mark.parametrize(
    "overrides, message",
    [
        (
            {"lrr": 0.1},
            r"`overrides` must be one of .* got 'lrr' \(nearest: lr",
        ),
        ({"opt_class": 1.0}, "`overrides` must be one of lr, one_minus_beta1"),
        ({"lr": "high"}, "`lr` must be a finite number, got 'high'"),
        ({"lr": math.nan}, "`lr` must be a finite number, got nan"),
        ({"lr": True}, "`lr` must be a finite number, got True"),
    ],
)
def test_bad_overrides_are_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        load_optimizer(text=TEXT, overrides=overrides)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: mine", "title: 1", "must have the key `name`"),
        ("lr: 1e-1", "lr: high", "must have numbers .* got `lr`"),
        ("lr: 1e-1", "lr: [", "is not YAML"),
        ("    lr: {min", "    lrr: {min", "`search_space` must be one of"),
        ("<lr>", "<rl>", 'is not valid: The reference "rl"'),
        ("torch.optim.SGD\n    lr", "torch.optim.S\n    lr", "torch.optim.S"),
        ("lr: 1e-1", "lr: 1\nlr: 2", 'found duplicate key "lr"|not valid'),
    ],
)
def test_a_wrong_file_is_one_sentence(old, new, message):
    assert old in TEXT
    with pytest.raises(UserError, match=message) as caught:
        load_optimizer(text=TEXT.replace(old, new))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_no_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="missing.yaml does not exist"):
        load_optimizer(tmp_path / "missing.yaml")
    with pytest.raises(UserError, match="`path` or `text`"):
        load_optimizer()


def test_a_missing_package_names_the_extra():
    text = TEXT.replace("needs: null", "needs: optimizers")
    text = text.replace("!name:torch.optim.SGD", "!name:no_such_package.SGD")
    with pytest.raises(UserError, match=r'pip install "leanbrain\[optimizers'):
        load_optimizer(text=text)


def test_another_class_than_promised_is_refused():
    spec = load_optimizer(text=with_class("torch.optim.Adam"))
    with pytest.raises(
        UserError, match="must build torch.optim.SGD, got .*Adam"
    ):
        spec.build(weight())


def test_a_subclass_is_another_class():
    text = TEXT.replace("torch.optim.SGD\nlr", "torch.optim.Adam\nlr")
    text = text.replace("!name:torch.optim.SGD", "!name:torch.optim.AdamW")
    text = text.replace("momentum: !ref 1 - <one_minus_beta1>", "eps: 1e-8")
    assert issubclass(torch.optim.AdamW, torch.optim.Adam)
    with pytest.raises(UserError, match="must build torch.optim.Adam, got"):
        load_optimizer(text=text).build(weight())


def test_settings_that_the_class_refuses_are_named():
    spec = load_optimizer(text=TEXT, overrides={"lr": -1.0})
    with pytest.raises(UserError, match="Invalid learning rate: -1.0"):
        spec.build(weight())


def test_an_optimizer_that_needs_a_closure_is_refused():
    text = with_class("torch.optim.LBFGS")
    text = text.replace("torch.optim.SGD", "torch.optim.LBFGS")
    with pytest.raises(UserError, match="must step without a closure"):
        load_optimizer(text=text).build(weight())


def test_an_optimizer_that_asks_for_a_closure_in_its_step_is_refused():
    pytest.importorskip("pytorch_optimizer")
    text = with_class(
        "pytorch_optimizer.SAM", "{base_optimizer: !name:torch.optim.SGD }"
    ).replace("expected_class: torch.optim.SGD", "expected_class: x.SAM")
    text = text.replace("x.SAM", "pytorch_optimizer.SAM")
    with pytest.raises(UserError, match="must step without a closure"):
        load_optimizer(text=text).build(weight())


class Broken(torch.optim.SGD):
    """Raises, loses a parameter, or holds one twice."""

    fault = "raises"

    def __init__(self, params, lr):
        params = list(params)
        super().__init__(params, lr)
        if self.fault == "loses" and len(params) > 1:
            self.param_groups[0]["params"].pop()
        if self.fault == "doubles":
            self.param_groups[0]["params"].append(params[0])

    def step(self, closure=None):
        """Raises, where it should."""
        if self.fault == "raises":
            raise RuntimeError("out of order\nand more")


@pytest.mark.parametrize(
    "fault, message",
    [
        ("raises", "must take a step .* got: out of order$"),
        ("loses", "every trainable parameter exactly once, got 1 missing"),
        ("doubles", "exactly once, got 0 missing and 1 held twice"),
    ],
)
def test_broken_optimizers_are_refused(fault, message, monkeypatch):
    monkeypatch.setattr(Broken, "fault", fault)
    monkeypatch.setattr(torch.optim, "Broken", Broken, raising=False)
    text = with_class("torch.optim.Broken")
    text = text.replace("expected_class: torch.optim.SGD", "expected_class: y")
    spec = load_optimizer(text=text.replace(": y", ": torch.optim.Broken"))
    with pytest.raises(UserError, match=message):
        spec.build(weight() + weight())


def test_a_parameter_given_twice_is_refused():
    (one,) = weight()
    with pytest.raises(UserError, match="1 held twice"):
        load_optimizer(text=TEXT).build([one, one])


def test_groups_of_parameters_are_taken_and_frozen_ones_may_be_absent():
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    groups = [{"params": weight()}, {"params": weight(), "weight_decay": 0.5}]
    optimizer = load_optimizer(text=TEXT).build(groups)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0, 0.5]
    assert load_optimizer(text=TEXT).build([frozen]) is not None


def test_building_leaves_randomness_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    load_optimizer(text=TEXT).build(weight())
    assert torch.equal(before, torch.random.get_rng_state())
    assert sys.modules["leanbrain.optbench.optimizers.specs"]
