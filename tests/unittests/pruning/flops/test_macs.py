"""Multiply-adds by hand, layer by layer, and against torch's own counter."""

import pytest
import torch
from speechbrain.nnet.attention import RelPosMHAXL
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from leanbrain.masking.targets import select_targets
from leanbrain.pruning.flops.macs import macs

FRAMES = 7
BATCH = 2


def weighed(layer, *inputs, **options):
    """Multiply-adds of one call of a layer."""
    with torch.no_grad():
        return macs(lambda: layer(*inputs, **options), layer)


def by_torch(run):
    """What torch counts, in multiply-adds."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    "layer, shape, places, per_place",
    [
        (nn.Linear(4, 3), (4,), 1, 12),
        (nn.Linear(4, 3, bias=False), (BATCH, FRAMES, 4), 14, 12),
        (nn.Conv1d(4, 6, 3), (BATCH, 4, FRAMES), BATCH * 5, 4 * 6 * 3),
        (
            nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2),
            (BATCH, 4, FRAMES),
            BATCH * 4,
            2 * 6 * 3,
        ),
        (nn.Conv1d(4, 6, 3, dilation=2), (4, FRAMES), 3, 4 * 6 * 3),
        (
            nn.Conv2d(2, 5, (3, 2)),
            (BATCH, 2, 6, FRAMES),
            BATCH * 4 * 6,
            2 * 5 * 6,
        ),
        (
            nn.ConvTranspose1d(4, 6, 3, stride=2),
            (BATCH, 4, FRAMES),
            BATCH * FRAMES,
            4 * 6 * 3,
        ),
    ],
)
def test_linear_layers_and_convolutions(layer, shape, places, per_place):
    inputs = torch.ones(shape)
    assert weighed(layer, inputs) == {"weight": places * per_place}
    assert by_torch(lambda: layer(inputs)) == places * per_place


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_bidirectional_lstm(batch_first):
    layer = nn.LSTM(
        4, 3, num_layers=2, bidirectional=True, batch_first=batch_first
    )
    frames = BATCH * FRAMES
    expected = {}
    for end in ("", "_reverse"):
        expected |= {
            # Four gates; the second layer hears both directions.
            f"weight_ih_l0{end}": frames * 4 * 3 * 4,
            f"weight_hh_l0{end}": frames * 4 * 3 * 3,
            f"weight_ih_l1{end}": frames * 4 * 3 * 6,
            f"weight_hh_l1{end}": frames * 4 * 3 * 3,
        }
    assert weighed(layer, torch.ones(BATCH, FRAMES, 4)) == expected


def test_other_recurrent_layers():
    inputs = torch.ones(FRAMES, BATCH, 4)
    gru = weighed(nn.GRU(4, 3), inputs)
    assert gru == {"weight_ih_l0": 14 * 36, "weight_hh_l0": 14 * 27}
    projected = weighed(nn.LSTM(4, 6, proj_size=2), inputs)
    assert projected == {
        "weight_ih_l0": 14 * 24 * 4,
        "weight_hh_l0": 14 * 24 * 2,
        "weight_hr_l0": 14 * 2 * 6,
    }
    cell = weighed(nn.GRUCell(4, 3), inputs[0])
    assert cell == {"weight_ih": BATCH * 36, "weight_hh": BATCH * 27}


def test_a_packed_batch_counts_its_frames_without_padding():
    layer = nn.RNN(4, 3, batch_first=True)
    packed = pack_padded_sequence(
        torch.ones(BATCH, FRAMES, 4), torch.tensor([7, 2]), batch_first=True
    )
    assert weighed(layer, packed) == {
        "weight_ih_l0": 9 * 12,
        "weight_hh_l0": 9 * 9,
    }


@pytest.mark.parametrize("train", [True, False])
def test_attention_projections(train):
    layer = nn.MultiheadAttention(6, 2, batch_first=True).train(train)
    inputs = torch.ones(BATCH, FRAMES, 6)
    counted = weighed(layer, inputs, inputs, inputs)
    assert counted == {
        "in_proj_weight": 14 * 18 * 6,
        "out_proj.weight": 14 * 6 * 6,
    }
    if train:
        scores = 2 * BATCH * FRAMES * FRAMES * 6  # q @ k and weights @ v
        total = by_torch(lambda: layer(inputs, inputs, inputs))
        assert sum(counted.values()) + scores == total


def test_attention_to_another_sequence():
    query, other = torch.ones(3, BATCH, 6), torch.ones(FRAMES, BATCH, 6)
    layer = nn.MultiheadAttention(6, 2)
    assert weighed(layer, query, key=other, value=other) == {
        "in_proj_weight": (6 + 14 + 14) * 6 * 6,
        "out_proj.weight": 6 * 6 * 6,
    }
    layer = nn.MultiheadAttention(6, 2, kdim=4, vdim=5)
    counted = weighed(layer, query, other[..., :4], other[..., :5])
    assert counted == {
        "q_proj_weight": 6 * 6 * 6,
        "k_proj_weight": 14 * 6 * 4,
        "v_proj_weight": 14 * 6 * 5,
        "out_proj.weight": 6 * 6 * 6,
    }


def test_relative_attention_of_speechbrain():
    layer = RelPosMHAXL(6, 2)
    inputs = torch.ones(BATCH, FRAMES, 6)
    places = torch.ones(1, 2 * FRAMES - 1, 6)
    assert weighed(layer, inputs, inputs, inputs, places) == {
        "in_proj_weight": 14 * 18 * 6,
        "out_proj.weight": 14 * 36,
        "linear_pos.weight": (2 * FRAMES - 1) * 36,
    }


def test_a_whole_transformer_layer_in_training():
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    inputs = torch.ones(BATCH, FRAMES, 6)
    counted = weighed(layer, inputs)
    scores = 2 * BATCH * FRAMES * FRAMES * 6
    total = by_torch(lambda: layer(inputs))
    assert sum(counted.values()) + scores == total
    assert weighed(layer.eval(), inputs) == counted


def test_calls_add_up_and_names_are_those_of_targets():
    shared, unused = nn.Linear(4, 4), nn.Linear(4, 2)
    modules = {
        "enc": nn.Sequential(shared, nn.ReLU(), shared),
        "again": shared,
        "aux": unused,
    }

    def run():
        modules["again"](modules["enc"](torch.ones(3, 4)))

    counted = macs(run, modules)
    assert counted == {"enc.0.weight": 3 * 3 * 16, "aux.weight": 0.0}
    assert set(counted) == {t.name for t in select_targets(modules)}
    brain_like = nn.ModuleDict(modules)
    assert macs(run, brain_like) == counted


def test_hooks_are_gone_whatever_happens():
    layer = nn.Linear(4, 3)

    def fail():
        layer(torch.ones(4))
        raise RuntimeError("out of data")

    with pytest.raises(RuntimeError, match="out of data"):
        macs(fail, layer)
    assert not layer._forward_hooks


@pytest.mark.parametrize(
    "wrap, name",
    [
        (
            nn.utils.parametrizations.weight_norm,
            "parametrizations.weight.original1",
        ),
        (
            nn.utils.parametrizations.orthogonal,
            "parametrizations.weight.original",
        ),
    ],
)
def test_reparametrized_weights_have_the_name_of_what_is_stored(wrap, name):
    layer = wrap(nn.Linear(4, 3))
    inputs = torch.ones(5, 4)
    assert macs(lambda: layer(inputs), layer) == {name: 5 * 12}


def test_matrices_of_unknown_layers_are_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.norm = nn.LayerNorm([2, 4])
            self.known = nn.Linear(4, 4)
            self.w = nn.Parameter(torch.ones(4, 4))
            self.scale = nn.Parameter(torch.ones(1, 4))

        def forward(self, x):
            return self.known(self.norm(self.table(x)) * self.scale) @ self.w

    odd = Odd()
    with pytest.warns(UserWarning, match=r"left out: w \(1 in all\)"):
        counted = macs(lambda: odd(torch.tensor([1, 2])), odd)
    assert counted == {"known.weight": 2 * 16}
