"""Which matrices are no weights to prune, seen from how they are used."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leanbrain.masking.usage import LAST_LAYER, NO_PRODUCT, UsageWatch

SIZE = 6


class Model(nn.Module):
    """A layer, one parameter that is used in some way, a last layer."""

    def __init__(self, use, shape=(SIZE, SIZE)):
        super().__init__()
        self.first = nn.Linear(SIZE, SIZE)
        self.own = nn.Parameter(torch.rand(shape) + 0.1)
        self.last = nn.Linear(SIZE, 3)
        self.use = use

    def forward(self, x):
        return self.last(self.use(torch.tanh(self.first(x)), self.own))


def judged(model, *inputs, **settings):
    """The reasons by name, of one forward pass."""
    watch = UsageWatch(model, **settings)
    model(*inputs)
    found = watch.finish()
    names = dict(model.named_parameters())
    return {n: found[id(p)] for n, p in names.items() if id(p) in found}


def frames():
    return torch.randn(2, 5, SIZE)


def nearest(x, book):
    """Quantises by the nearest entry."""
    distance = (x.unsqueeze(-2) - book).square().sum(-1)
    return x + (book[distance.argmin(-1)] - x)


def chosen(x, book):
    """Quantises as the Gumbel quantiser does: one-hot, entry by entry."""
    scores = F.gumbel_softmax(x, hard=True)
    return (scores.unsqueeze(-1) * book).sum(-2)


PRODUCTS = {
    "matmul": lambda x, w: x @ w,
    "linear": F.linear,
    "einsum": lambda x, w: torch.einsum("bti,io->bto", x, w),
    "transposed": lambda x, w: x @ w.t().contiguous(),
    "normalised": lambda x, w: F.linear(x, F.normalize(w)),
    "scaled": lambda x, w: x @ (w * 0.5),
    "masked": lambda x, w: x @ torch.where(w > 0.5, w, 0.0),
    "with a delta": lambda x, w: x @ (w + torch.ones(SIZE, SIZE)),
    "in blocks": lambda x, w: x @ torch.cat([w[:3], w[3:]]),
    "a part": lambda x, w: F.pad(x @ w[:3].t(), (0, 3)),
    "penalised": lambda x, w: (x @ w) * (1 + w.square().sum()),
    "conv": lambda x, w: F.conv1d(x.transpose(1, 2), w.unsqueeze(-1)).transpose(
        1, 2
    ),
}
OTHERS = {
    "row by index": lambda x, w: x + w[torch.zeros(2, 5, dtype=torch.long)],
    "embedding": lambda x, w: x + F.embedding(torch.tensor(1), w),
    "gathered": lambda x, w: x + w.index_select(0, torch.tensor([2])),
    "nearest entry": nearest,
    "one-hot": chosen,
    "table": lambda x, w: x + w[:5],
    "gain": lambda x, w: x * w[:5],
    "softmax": lambda x, w: x @ w.softmax(0),
    "exponential": lambda x, w: x @ w.exp(),
}


@pytest.mark.parametrize("use", PRODUCTS)
def test_what_multiplies_is_a_weight(use):
    assert judged(Model(PRODUCTS[use]), frames()) == {"last.weight": LAST_LAYER}


@pytest.mark.parametrize("use", OTHERS)
def test_what_is_read_or_bent_is_none(use):
    assert judged(Model(OTHERS[use]), frames()) == {
        "own": NO_PRODUCT,
        "last.weight": LAST_LAYER,
    }


def last(model, *inputs, **settings):
    """Names of last layers."""
    found = judged(model, *inputs, **settings)
    return [name for name, why in found.items() if why == LAST_LAYER]


def test_layers_without_a_single_matrix():
    x = frames()
    rnn = nn.Sequential(nn.Linear(SIZE, SIZE), nn.LSTM(SIZE, 2))
    assert last(rnn, x) == ["1.weight_ih_l0", "1.weight_hh_l0"]
    layer = nn.TransformerEncoderLayer(SIZE, 2, 8, batch_first=True)
    assert last(layer, x) == ["linear2.weight"]
    block = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv1d(5, 4, 3)), nn.ReLU()
    )
    assert last(block, x) == ["0.parametrizations.weight.original1"]


def test_several_outputs_are_last_each():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(SIZE, SIZE)
            self.ctc, self.seq = nn.Linear(SIZE, 3), nn.Linear(SIZE, 4)

        def forward(self, x):
            x = self.body(x)
            return {"ctc": self.ctc(x), "seq": [self.seq(x), None]}

    assert last(Heads(), frames()) == ["ctc.weight", "seq.weight"]


def test_a_tied_embedding_is_an_output_layer_too():
    """As Whisper's, whose rows are looked up before they multiply."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.Embedding(9, SIZE)
            self.body = nn.Linear(SIZE, SIZE)

        def forward(self, tokens):
            return self.body(self.rows(tokens)) @ self.rows.weight.t()

    found = judged(Tied(), torch.tensor([[1, 2]]))
    assert found == {"rows.weight": NO_PRODUCT}


def test_a_layer_that_runs_many_times_is_one_layer():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = nn.GRUCell(SIZE, SIZE), nn.Linear(SIZE, 2)

        def forward(self, x):
            state, outs = None, []
            for frame in x.unbind(1):
                state = self.cell(frame, state)
                outs.append(self.out(state))
            return torch.stack(outs, 1)

    assert last(Steps(), frames()) == ["out.weight"]


def test_a_discriminator_does_not_hide_the_last_layer():
    pair = nn.ModuleDict({"g": nn.Linear(3, 3), "d": nn.Linear(3, 2)})
    pair.forward = lambda x: pair["d"](pair["g"](x))
    assert last(pair, torch.ones(1, 3)) == ["d.weight"]
    critic = {id(pair["d"].weight)}
    found = last(pair, torch.ones(1, 3), ignored=critic)
    assert found == ["g.weight", "d.weight"]


def test_frozen_layers_and_passes_without_gradient_say_nothing():
    model = Model(PRODUCTS["matmul"])
    model.last.requires_grad_(False)
    assert "last.weight" not in judged(model, frames())
    with torch.no_grad():
        assert judged(model, frames()) == {}


def test_no_hook_stays_and_copies_are_not_watched():
    model = Model(PRODUCTS["matmul"])
    watch = UsageWatch(model)
    twin = copy.deepcopy(model)
    watch.finish()
    assert not any(module._forward_hooks for module in model.modules())
    twin(frames())
    assert watch.finish() == {}
