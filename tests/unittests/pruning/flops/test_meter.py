"""CostMeter: dense training, RigL's published ratios, and its state."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from leanbrain.checks import UserError
from leanbrain.pruning.allocation.shares import erk, per_layer
from leanbrain.pruning.flops.meter import CostMeter, macs

MACS = {"a": 1000.0, "b": 300.0, "out": 50.0}


def ran(*steps):
    """A meter that was told of these (density, dense gradient) steps."""
    meter = CostMeter()
    for density, dense in steps:
        meter.on_step(density, dense)
    return meter


def test_dense_training_is_three_times_the_forward_pass():
    forward = 2 * sum(MACS.values())
    assert CostMeter().training_flops(MACS, 10) == 3 * forward * 10
    meter = ran(*[({"a": 1.0}, False)] * 4)
    assert meter.training_flops(MACS) == 3 * forward * 4
    assert CostMeter().training_flops(MACS) == 0.0
    assert meter.training_flops(MACS, 0) == 0.0


def test_dense_training_as_torch_counts_it():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    # Torch leaves out gradients of inputs that nobody asks for.
    inputs = torch.ones(5, 8, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        model(inputs).sum().backward()
    counted = macs(lambda: model(inputs), model)
    assert CostMeter().training_flops(counted, 1) == counter.get_total_flops()


@given(
    density=st.floats(0.01, 1.0),
    sparse_steps=st.integers(1, 200),
    rounds=st.integers(1, 3),
)
def test_rigl_formula(density, sparse_steps, rounds):
    # One step in DT + 1 has the dense gradient:
    # (3 f_S DT + 2 f_S + f_D) / (DT + 1), arXiv 1911.11134, appendix H.
    dense = 2 * 1000.0
    sparse = density * dense
    expected = (3 * sparse * sparse_steps + 2 * sparse + dense) / (
        sparse_steps + 1
    )
    one_round = [({"a": density}, False)] * sparse_steps
    one_round.append(({"a": density}, True))
    meter = ran(*one_round * rounds)
    steps = rounds * (sparse_steps + 1)
    assert meter.training_flops({"a": 1000.0}) == pytest.approx(
        steps * expected
    )
    # The ratio to dense training, for as many steps as one likes.
    ratio = meter.training_flops({"a": 1000.0}, 7) / (3 * dense * 7)
    assert ratio == pytest.approx(expected / (3 * dense))


def resnet50():
    """Layers of ResNet-50 and the side of the image that each is given."""

    def conv(inside, outside, kernel, stride=1):
        return nn.Conv2d(
            inside, outside, kernel, stride, kernel // 2, device="meta"
        )

    yield conv(3, 64, 7, 2), 224
    inside, side = 64, 56
    for blocks, width, stride in (
        (3, 64, 1),
        (4, 128, 2),
        (6, 256, 2),
        (3, 512, 2),
    ):
        yield conv(inside, 4 * width, 1, stride), side
        for block in range(blocks):
            yield conv(inside, width, 1), side
            yield conv(width, width, 3, 1 if block else stride), side
            side = side if block else side // stride
            yield conv(width, 4 * width, 1), side
            inside = 4 * width
    yield conv(2048, 1000, 1), 1  # the linear layer, at one place


@pytest.fixture(scope="module")
def resnet_macs():
    """Its weights and their multiply-adds for one image."""
    layers = list(resnet50())
    model = nn.ModuleList(layer for layer, _ in layers)

    def run():
        for layer, side in layers:
            image = torch.empty(1, layer.in_channels, side, side, device="meta")
            layer(image)

    weights = {n: w for n, w in model.named_parameters() if w.dim() > 1}
    return weights, macs(run, model)


# github.com/google-research/rigl, table of extended training: FLOPs of five
# times as many steps, relative to dense training; a dense gradient every 100
# steps.
@pytest.mark.parametrize(
    "rule, sparsity, five_times",
    [
        (erk, 0.8, 2.09),
        (erk, 0.9, 1.23),
        (erk, 0.95, 0.63),
        (per_layer, 0.8, 1.14),
        (per_layer, 0.9, 0.66),
        (per_layer, 0.95, 0.42),
    ],
)
def test_published_flops_of_rigl(resnet_macs, rule, sparsity, five_times):
    weights, counted = resnet_macs
    assert 2 * sum(counted.values()) == pytest.approx(8.2e9, rel=0.005)
    # With equal sparsity everywhere the first layer is dense there.
    first = next(iter(weights))
    pruned = {n: w for n, w in weights.items() if rule is erk or n != first}
    keep = rule(pruned, sparsity)
    density = {n: k / weights[n].numel() for n, k in keep.items()}
    meter = ran(*[(density, step == 0) for step in range(100)])
    dense = CostMeter().training_flops(counted, 1)
    ratio = meter.training_flops(counted, 1) / dense
    assert ratio == pytest.approx(five_times / 5, abs=0.005)


def test_by_hand():
    meter = ran(({"a": 0.5, "b": 0.25}, False), ({"a": 0.25}, True))
    first = 3 * 500 + 3 * 75 + 3 * 50
    second = 2 * 250 + 1000 + 3 * 300 + 3 * 50
    assert meter.training_flops(MACS) == 2 * (first + second)
    assert meter.training_flops(MACS, 6) == 3 * 2 * (first + second)
    assert meter.steps == 2


def test_saved_and_resumed():
    steps = [({"a": 0.5}, False), ({"a": 0.25, "b": 0.5}, True)] * 3
    whole, half = ran(*steps), ran(*steps[:3])
    state = half.state_dict()
    half.on_step({"a": 0.0}, False)  # does not reach what was saved
    resumed = ran()
    resumed.load_state_dict(state)
    for step in steps[3:]:
        resumed.on_step(*step)
    assert resumed.training_flops(MACS) == whole.training_flops(MACS)
    assert resumed.state_dict() == whole.state_dict()


def test_inputs_are_checked():
    with pytest.raises(UserError, match=r"`density of a` must be in \[0, 1\]"):
        CostMeter().on_step({"a": 1.5}, False)
    with pytest.raises(UserError, match="`macs` must name .* none for z"):
        ran(({"z": 0.5}, False)).training_flops(MACS)
    with pytest.raises(UserError, match="`steps` must be a finite number > 0"):
        CostMeter().training_flops(MACS, -1)
    with pytest.raises(UserError, match="`version` of a saved CostMeter"):
        CostMeter().load_state_dict({})


def test_weights_that_do_not_learn_need_no_gradient_of_theirs():
    meter = CostMeter()
    meter.on_step({"a": 0.25}, dense_gradient=False, learns=False)
    # Forward and the gradient of the inputs, at a quarter of the weights.
    assert meter.training_flops({"a": 100.0}) == 2 * 100 * 2 * 0.25
    meter.on_step({"a": 0.25}, dense_gradient=True, learns=False)
    assert meter.training_flops({"a": 100.0}) == 2 * 100 * (4 * 0.25 + 1)
