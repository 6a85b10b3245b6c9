"""The contract of every optimizer file: a new file needs no new test."""

import copy
import io
from functools import cache
from pathlib import Path

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.protocol.search import SearchSpace

FOLDER = Path(__file__).resolve().parents[3] / "hparams" / "optimizers"
FILES = sorted(FOLDER.glob("*.yaml"))
# A scalar, a bias, a matrix, a kernel over time, one over time and frequency.
SHAPES = [(), (5,), (4, 3), (3, 2, 3), (2, 3, 2, 2)]
DEFAULT = {
    "adamw",
    "nadamw",
    "sgd_nesterov",
    "heavy_ball",
    "radam",
    "adafactor",
    "muon_adamw",
    "adadelta",
}
EXTRA = {
    "sf_adamw",
    "soap",
    "shampoo",
    "ademamix",
    "lion",
    "lamb",
    "prodigy",
}

pytestmark = pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)


@cache
def load(file):
    """The file's spec, or the sentence on what this machine lacks."""
    try:
        found = load_optimizer(file)
        found.build(make())
    except UserError as error:
        if "pip install" in str(error) or "torch.optim.Muon" in str(error):
            return str(error)
        raise
    return found


@pytest.fixture
def spec(file):
    found = load(file)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def make():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator))
        for shape in SHAPES
    ]


def loss_of(params):
    return sum((p**2).sum() for p in params)


def train(optimizer, params, steps):
    """Lowers the quadratic; modes of training by hand, as the benchmark."""
    getattr(optimizer, "train", lambda: None)()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(params).backward()
        optimizer.step()


def follow_noise(optimizer, params, steps=12):
    """Steps down the quadratic by noisy gradients, whose signs change."""
    generator = torch.Generator().manual_seed(1)
    getattr(optimizer, "train", lambda: None)()
    for _ in range(steps):
        for p in params:
            noise = torch.randn(p.shape, generator=generator)
            p.grad = 2 * p.detach() + noise
        optimizer.step()


def test_reads_as_documented(spec, file):
    assert spec.name == file.stem
    assert spec.source and spec.needs in (None, "optimizers")
    assert spec.name in (DEFAULT if spec.needs is None else EXTRA)
    assert spec.expected_class in spec.text
    assert spec.text == file.read_text(encoding="utf-8")


def test_holds_each_parameter_once(spec):
    params = make()
    groups = spec.build(params).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in params)


def test_lowers_a_quadratic_and_stays_finite(spec):
    params = make()
    before = loss_of(params).item()
    train(spec.build(params), params, 50)
    assert loss_of(params).item() < before
    for p in params:
        assert p.dtype is torch.float32 and torch.isfinite(p).all()


def test_state_goes_through_a_checkpoint_bit_for_bit(spec):
    params = make()
    optimizer = spec.build(params)
    train(optimizer, params, 12)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twins = copy.deepcopy(params)
    twin = spec.build(twins)
    # weights_only: SpeechBrain's checkpoints run no code.
    twin.load_state_dict(torch.load(file, weights_only=True))
    train(optimizer, params, 12)
    train(twin, twins, 12)
    for a, b in zip(params, twins, strict=True):
        assert torch.equal(a, b)


def test_the_search_space_is_about_the_file_and_holds_its_defaults(spec):
    assert len(spec.search_space) == 3  # the same for all: fairness
    for key, space in spec.search_space.items():
        assert set(space) == {"min", "max", "scaling"}
        assert space["scaling"] in ("log", "linear")
        assert space["min"] <= spec.hyperparameters[key] <= space["max"]
        assert space["min"] > 0


@pytest.mark.parametrize("end", ["min", "max"])
def test_the_ends_of_the_search_space_are_legal(spec, file, end):
    overrides = {key: space[end] for key, space in spec.search_space.items()}
    params = make()
    edge = load_optimizer(file, overrides=overrides)
    train(edge.build(params), params, 3)
    assert edge.hyperparameters == {**spec.hyperparameters, **overrides}


def test_every_tuned_number_matters(spec, file):
    for key, space in spec.search_space.items():
        results = []
        for end in ("min", "max"):
            params = make()
            edge = load_optimizer(file, overrides={key: space[end]})
            follow_noise(edge.build(params), params)
            results.append(params)
        assert any(
            not torch.equal(a, b) for a, b in zip(*results, strict=True)
        ), key


def test_the_schedule_warms_up_as_all_others(spec):
    assert spec.hyperparameters["warmup"] == 0.05
    assert spec.lr_schedule(0.0) == 0.0
    assert spec.lr_schedule(0.025) == pytest.approx(0.5)
    assert spec.lr_schedule(0.05) == 1.0
    ends = 1.0 if spec.name in ("sf_adamw", "prodigy") else 0.0
    assert spec.lr_schedule(1.0) == ends


def test_no_rate_no_motion(spec):
    # The schedule works by setting `lr`: an optimizer that ignored it would
    # be benchmarked without one.
    params = make()
    optimizer = spec.build(params)
    train(optimizer, params, 3)
    # Where weights are averaged, the average moves on; what it is of stays.
    points = [optimizer.state[p].get("z", p) for p in params]
    before = [p.detach().clone() for p in points]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(optimizer, params, 1)
    for a, b in zip(before, points, strict=True):
        assert torch.equal(a, b)


def test_training_survives_a_first_step_of_rate_zero(spec):
    # So begins every warm-up.
    params = make()
    before = loss_of(params).item()
    optimizer = spec.build(params)
    rates = [group["lr"] for group in optimizer.param_groups]
    for factor in (0.0, 0.5, 1.0):
        for group, lr in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = factor * lr
        train(optimizer, params, 1 if factor == 0.0 else 20)
    assert loss_of(params).item() < before


def test_an_unknown_override_is_refused(file):
    with pytest.raises(UserError, match="`overrides` must be one of"):
        load_optimizer(file, overrides={"learning_rate_": 0.1})


def test_short_runs_search_as_widely_as_those_of_adamw(spec):
    assert spec.short_search_space
    assert set(spec.short_search_space) <= set(spec.search_space)
    assert spec.space(short_runs=False) == spec.search_space
    short = spec.space(short_runs=True)
    assert set(short) == set(spec.search_space)
    for key, space in spec.short_search_space.items():
        wide = space["max"] / space["min"]
        # The same widths for all: fairness.
        assert wide == pytest.approx(10 if key == "lr" else 6)
        SearchSpace.from_mapping(short)
