"""Every mask-aware layer: as the stock layer, and each row in its pathway."""

import copy
import inspect
import pickle

import pytest
import torch
from layer_cases import AWARE, IDS, LAYERS, B, C, X, linear
from random_masks import drawn, random_masks
from torch import nn

from leanbrain.masking.convert import convert
from leanbrain.masking.nnet import linear as aware_linear
from leanbrain.masking.router import PathwayRouter

PATHWAYS = ["en", "es", "ru", "uk"]
ROWS = ["ru", "en", "ru", "uk", "en", "es"]


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
                rtol=1e-4,  # kernels of other batch sizes round otherwise
                atol=1e-5,
            )
    # Masks are at work: pathways differ.
    assert not torch.allclose(alone["en"][0], alone["ru"][0])
    # One pathway for all, and nothing once more.
    with router.through("uk"):
        for a, b in zip(tensors(call(layer)), alone["uk"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
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


class MyLinear(nn.Linear):
    """Derived, with the same forward."""


class MyLSTM(nn.LSTM):
    """Another, whose state holds what cannot be pickled."""


@pytest.mark.parametrize("kind", [MyLinear, MyLSTM])
def test_a_class_of_ones_own_is_converted_and_pickled(kind):
    model = nn.Sequential(kind(C, 5))
    convert(model)
    model(X)
    again = pickle.loads(pickle.dumps(model))
    assert isinstance(again[0], kind) and type(again[0]) is type(model[0])
    for a, b in zip(tensors(again(X)), tensors(model(X)), strict=True):
        assert torch.equal(a, b)


def test_torchscript_compiles_the_stock_layer():
    layer = build(linear, "Linear", LAYERS[0][2], aware=True)
    compiled = torch.jit.script(layer)
    assert torch.equal(compiled(X), layer(X))
