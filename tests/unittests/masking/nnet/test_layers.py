"""Every mask-aware layer: as the stock layer, and each row in its pathway."""

import copy
import inspect
import pickle

import pytest
import torch
from random_masks import drawn, random_masks
from speechbrain.lobes.models.transformer import Conformer
from speechbrain.nnet import CNN, RNN, attention, hypermixing, linear
from torch import nn

from leanbrain.masking.convert import convert
from leanbrain.masking.nnet import CNN as aware_CNN
from leanbrain.masking.nnet import RNN as aware_RNN
from leanbrain.masking.nnet import attention as aware_attention
from leanbrain.masking.nnet import conformer as aware_conformer
from leanbrain.masking.nnet import linear as aware_linear
from leanbrain.masking.router import PathwayRouter

B, T, C = 6, 7, 8
PATHWAYS = ["en", "es", "ru", "uk"]
ROWS = ["ru", "en", "ru", "uk", "en", "es"]


X = drawn(B, T, C)
LENGTHS = torch.tensor([0.4, 1.0, 0.6, 0.9, 0.8, 0.5])
PADDING = torch.arange(T) >= (LENGTHS * T).round()[:, None]
FUTURE = torch.ones(T, T).triu(1).bool()
POSITIONS = drawn(1, 2 * T - 1, C, seed=1)


def attend(*extra, **settings):
    return lambda layer: layer(X, X, X, *extra, **settings)


# Name of the module, class, arguments, and how it is called.
LAYERS = [
    (linear, "Linear", {"n_neurons": 5, "input_size": C}, lambda f: f(X)),
    (
        linear,
        "Linear",
        {"n_neurons": 5, "input_size": C, "max_norm": 0.1},
        lambda f: f(X),
    ),
    (
        linear,
        "Linear",
        {"n_neurons": 5, "input_size": 2 * C, "combine_dims": True},
        lambda f: f(torch.stack([X, -X], 2)),
    ),
    (
        CNN,
        "Conv1d",
        {"out_channels": 5, "kernel_size": 3, "in_channels": C},
        lambda f: f(X),
    ),
    (
        CNN,
        "Conv1d",
        {
            "out_channels": 5,
            "kernel_size": 3,
            "in_channels": C,
            "weight_norm": True,
            "skip_transpose": True,
        },
        lambda f: f(X.transpose(1, 2)),
    ),
    (
        CNN,
        "Conv2d",
        {"out_channels": 5, "kernel_size": (3, 3), "in_channels": 2},
        lambda f: f(torch.stack([X, X**2], -1)),
    ),
    (
        CNN,
        "ConvTranspose1d",
        {"out_channels": 5, "kernel_size": 3, "in_channels": C},
        lambda f: f(X),
    ),
    *[
        (RNN, name, {"hidden_size": 5, "input_size": C, **extra}, call)
        for name in ("RNN", "LSTM", "GRU")
        for extra, call in (
            ({}, lambda f: f(X)),
            (
                {"bidirectional": True, "num_layers": 2},
                lambda f: f(X, lengths=LENGTHS),
            ),
        )
    ],
    (
        RNN,
        "GRU",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X, hx=drawn(1, B, 5, seed=3)),
    ),
    (
        RNN,
        "LSTM",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X, (drawn(1, B, 5, seed=3), drawn(1, B, 5, seed=4))),
    ),
    *[
        (RNN, name, {"hidden_size": 5, "input_size": C}, lambda f: f(X[:, 0]))
        for name in ("RNNCell", "GRUCell", "LSTMCell")
    ],
    (
        RNN,
        "LSTMCell",
        {"hidden_size": 5, "input_size": C},
        lambda f: f(X[:, 0], (drawn(1, B, 5), drawn(1, B, 5, seed=4))),
    ),
    *[
        (
            RNN,
            name,
            {
                "hidden_size": 5,
                "input_shape": (B, T, C),
                "bidirectional": both,
            },
            lambda f: f(X)[0],
        )
        for name in ("LiGRU", "SLiGRU")
        for both in (False, True)
    ],
    (
        RNN,
        "LiGRU",
        {"hidden_size": 5, "input_shape": (B, T, C), "bidirectional": True},
        lambda f: f(X, drawn(1, 2 * B, 5, seed=3))[0],
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        attend(attn_mask=FUTURE, key_padding_mask=PADDING),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C, "kdim": 4, "vdim": 4},
        lambda f: f(X, X[..., :4], X[..., :4], return_attn_weights=False),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        lambda f: f(
            X,
            X,
            X,
            attn_mask=torch.zeros(T, T),
            pos_embs=drawn(T, T, seed=2),
        ),
    ),
    (
        attention,
        "MultiheadAttention",
        {"nhead": 2, "d_model": C},
        attend(attn_mask=drawn(2 * B, T, T, seed=5)),
    ),
    (
        attention,
        "RelPosMHAXL",
        {"num_heads": 2, "embed_dim": C},
        attend(POSITIONS, key_padding_mask=PADDING),
    ),
    (
        attention,
        "RelPosMHAXL",
        {"num_heads": 2, "embed_dim": C},
        lambda f: f(X, -X, X, POSITIONS),
    ),
    (
        attention,
        "RoPEMHA",
        {"num_heads": 2, "embed_dim": C},
        attend(key_padding_mask=PADDING),
    ),
    (
        attention,
        "PositionalwiseFeedForward",
        {"d_ffn": 16, "input_size": C},
        lambda f: f(X),
    ),
    (
        hypermixing,
        "HyperMixing",
        {
            "input_output_dim": C,
            "hypernet_size": 6,
            "tied": False,
            "num_heads": 2,
        },
        attend(key_padding_mask=PADDING),
    ),
    (
        Conformer,
        "ConvolutionModule",
        {"input_size": C, "kernel_size": 3},
        lambda f: f(X, mask=PADDING[..., None]),
    ),
]
AWARE = {
    linear: aware_linear,
    CNN: aware_CNN,
    RNN: aware_RNN,
    attention: aware_attention,
    hypermixing: aware_attention,
    Conformer: aware_conformer,
}
IDS = [f"{x[1]}-{i}" for i, x in enumerate(LAYERS)]


def build(home, name, settings, aware):
    torch.manual_seed(7)
    layer = getattr(AWARE[home] if aware else home, name)(**settings)
    return layer.eval()


def tensors(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [y for x in result if x is not None for y in tensors(x)]


def masked_copy(layer, masks, pathway):
    """The slow oracle: the stock layer with zeros in its weights."""
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in masks.shapes:
                parameter.masked_fill_(~masks.get(pathway, name), 0.0)
    return twin


@pytest.mark.parametrize("case", LAYERS, ids=IDS)
def test_without_masks_it_is_the_stock_layer_bit_for_bit(case):
    home, name, settings, call = case
    stock = build(home, name, settings, aware=False)
    layer = build(home, name, settings, aware=True)
    assert layer.state_dict().keys() == stock.state_dict().keys()
    assert inspect.signature(layer.forward) == inspect.signature(stock.forward)
    for a, b in zip(tensors(call(layer)), tensors(call(stock)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", LAYERS, ids=IDS)
@torch.no_grad()
def test_each_row_runs_through_its_own_pathway(case):
    home, name, settings, call = case
    stock = build(home, name, settings, aware=False)
    layer = build(home, name, settings, aware=True)
    masks = random_masks(layer, PATHWAYS)
    alone = {
        pathway: tensors(call(masked_copy(stock, masks, pathway)))
        for pathway in PATHWAYS
    }
    router = PathwayRouter(layer, masks)
    with router.through(ROWS):
        mixed = tensors(call(layer))
    assert len(mixed) == len(alone["en"]) and mixed
    for k, result in enumerate(mixed):
        dim = list(result.shape).index(B)
        for row, pathway in enumerate(ROWS):
            torch.testing.assert_close(
                result.select(dim, row),
                alone[pathway][k].select(dim, row),
                rtol=1e-5,
                atol=1e-6,
            )
    # Masks are at work: pathways differ.
    assert not torch.allclose(alone["en"][0], alone["ru"][0])
    # One pathway for all, and nothing once more.
    with router.through("uk"):
        for a, b in zip(tensors(call(layer)), alone["uk"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(tensors(call(layer)), tensors(call(stock)), strict=True):
        assert torch.equal(a, b)


def loss_of(results, rows):
    """A weighted sum over some rows of all results."""
    total = torch.zeros(())
    for x in results:
        rows_of_x = x * drawn(*x.shape, seed=9)
        dim = list(x.shape).index(B)
        total = total + rows_of_x.index_select(dim, torch.tensor(rows)).sum()
    return total


@pytest.mark.parametrize("case", LAYERS, ids=IDS)
def test_gradients_are_those_of_each_rows_pathway(case):
    home, name, settings, call = case
    layer = build(home, name, settings, aware=True)
    masks = random_masks(layer, PATHWAYS)
    wanted = {n: torch.zeros_like(p) for n, p in layer.named_parameters()}
    for pathway in PATHWAYS:
        twin = masked_copy(build(home, name, settings, False), masks, pathway)
        rows = [i for i, x in enumerate(ROWS) if x == pathway]
        loss_of(tensors(call(twin)), rows).backward()
        for n, parameter in twin.named_parameters():
            if parameter.grad is not None:
                kept = masks.get(pathway, n) if n in masks.shapes else 1
                wanted[n] += parameter.grad * kept
    with PathwayRouter(layer, masks).through(ROWS):
        loss_of(tensors(call(layer)), range(B)).backward()
    for n, parameter in layer.named_parameters():
        got = torch.zeros(()) if parameter.grad is None else parameter.grad
        worst = (got - wanted[n]).abs().max()
        assert worst <= 1e-4 * wanted[n].abs().max() + 1e-6, n
    assert any(x.any() for x in wanted.values())


def test_a_copy_has_no_router_and_the_same_class():
    layer = build(linear, "Linear", LAYERS[0][2], aware=True)
    router = PathwayRouter(layer, random_masks(layer, PATHWAYS))
    router.set("en")
    for other in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
    ):
        assert type(other) is aware_linear.Linear and other._lane is None
        assert torch.equal(other(X), layer.w(X))
    assert not torch.equal(layer(X), layer.w(X))


def test_a_class_of_ones_own_is_converted_and_pickled():
    model = nn.Sequential(Mine(C, 5))
    convert(model)
    again = pickle.loads(pickle.dumps(model))
    assert isinstance(again[0], Mine) and type(again[0]) is type(model[0])
    assert torch.equal(again(X), model(X))


class Mine(nn.Linear):
    """Derived, with the same forward."""


def test_torchscript_compiles_the_stock_layer():
    layer = build(linear, "Linear", LAYERS[0][2], aware=True)
    compiled = torch.jit.script(layer)
    assert torch.equal(compiled(X), layer(X))
