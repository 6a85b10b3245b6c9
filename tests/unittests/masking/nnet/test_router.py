"""The router: what it computes, what it keeps, and when it forgets."""

import pytest
import torch
from random_masks import drawn, random_masks
from small_model import NAMES, ROWS, Model, X
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import (
    LanguageHead,
    MaskSet,
    PathwayRouter,
    PathwaySwitch,
    convert,
    select_targets,
)


@pytest.fixture
def model():
    made = Model().eval()
    convert(made)
    return made


@pytest.fixture
def masks(model):
    return random_masks(model, NAMES)


def alone(model, router, pathway):
    with router.through(pathway):
        return model(X)


@torch.no_grad()
def test_tied_weights_are_masked_in_every_layer(model, masks):
    router = PathwayRouter(model, masks)
    with router.through(ROWS):
        mixed = model(X)
    weights = {t.name: t.parameter for t in select_targets(model)}
    assert sorted(weights) == ["first.weight", "second.weight"]
    for row, name in enumerate(ROWS):
        w1, w2 = (weights[n] * masks.get(name, n) for n in sorted(weights))
        hidden = (X[row] @ w1.T + model.first.bias).relu()
        hidden = model.norm(hidden @ w2.T + model.second.bias)
        wanted = hidden @ w2.T + model.again.bias
        torch.testing.assert_close(mixed[row], wanted, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_masked_weights_are_kept_until_weights_or_masks_change(model, masks):
    router = PathwayRouter(model, masks)
    held = model.first._lane.weights
    before = alone(model, router, "ru")
    (kept,) = held.of(held.key("ru"))
    alone(model, router, "ru")
    assert held.of(held.key("ru"))[0] is kept
    model.first.weight.mul_(2.0)
    assert held.of(held.key("ru"))[0] is not kept
    assert not torch.equal(alone(model, router, "ru"), before)
    (kept,) = held.of(held.key("ru"))
    masks.set("ru", "first.weight", torch.ones(8, 8).bool())
    other = held.of(held.key("ru"))
    assert other is None or not torch.equal(other[0], kept)
    now = alone(model, router, "ru")
    model.load_state_dict(Model().state_dict())
    assert not torch.equal(alone(model, router, "ru"), now)


UNCOUNTED = {
    "decay": lambda w: w.data.mul_(0.999),
    "copy": lambda w: w.data.copy_(w * 0.5),
    "clip": lambda w: w.data.clamp_(-0.1, 0.1),
    "zero": lambda w: w.data.zero_(),
}


@torch.no_grad()
@pytest.mark.parametrize("write", UNCOUNTED.values(), ids=UNCOUNTED)
@pytest.mark.parametrize("again", [True, False])
def test_writes_that_do_not_count_are_seen(model, masks, write, again):
    """As averages that are copied in, between two batches or two sets."""
    router = PathwayRouter(model, masks)
    router.set(ROWS)
    model(X)
    for layer in (model.first, model.second):
        write(layer.weight)
    if again:
        router.set(ROWS)
    found = model(X)
    router.refresh()
    assert torch.equal(found, model(X))


@torch.no_grad()
def test_a_write_of_one_value_is_seen_by_the_next_batch():
    """Of a weight of which only some values are looked at in each layer."""
    model = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False))
    convert(model)
    masks = MaskSet({"0.weight": (64, 64)}, ["en", "ru"])
    masks.set("en", "0.weight", torch.ones(64, 64).tril().bool())
    masks.set("ru", "0.weight", torch.ones(64, 64).triu().bool())
    router, x = PathwayRouter(model, masks), torch.ones(2, 64)
    for i, (row, column) in enumerate([(1, 1), (63, 63), (40, 3)]):
        router.set(["en", "ru"])
        before = model(x)
        model[0].weight.data[row, column] += 1.0
        router.set(["en", "ru"])
        after = model(x)
        assert after[0, row] != before[0, row], i
        router.refresh()
        assert torch.equal(model(x), after)


@torch.no_grad()
def test_memory_that_is_used_again_is_not_taken_for_the_same():
    # Of this size the allocator gives the memory that was just freed.
    model = torch.nn.Sequential(torch.nn.Linear(4096, 2100, bias=False))
    convert(model)
    kept = torch.ones(2100, 4096).bool()
    kept[0] = False
    masks = MaskSet({"0.weight": (2100, 4096)}, ["en"])
    masks.set("en", "0.weight", kept)
    router = PathwayRouter(model, masks)
    x = torch.ones(1, 4096)
    with router.through("en"):
        model(x)
        for value in range(1, 4):
            for filled in (0.0, float(value)):  # there, and back
                model[0].weight.data = torch.full((2100, 4096), filled)
            assert model(x)[0, 1] == 4096.0 * value


def test_inference_mode_leaves_nothing_that_training_cannot_use(model, masks):
    router = PathwayRouter(model.requires_grad_(False), masks)
    with torch.inference_mode():
        alone(model, router, "en")
    x = X.clone().requires_grad_()
    with router.through("en"):
        model(x).sum().backward()
    assert x.grad.any()


def test_a_model_may_be_made_in_inference_mode(model, masks):
    wanted = alone(model, PathwayRouter(model, masks), "uk")
    with torch.inference_mode():
        other = Model().eval()
        convert(other)
        found = alone(other, PathwayRouter(other, masks), "uk")
    torch.testing.assert_close(found, wanted)


@torch.no_grad()
def test_pathways_with_equal_masks_run_together(model, masks):
    for name in masks.shapes:
        masks.set("uk", name, masks.get("ru", name))
    router = PathwayRouter(model, masks)
    with router.through(ROWS):
        groups = model.first._lane.grouping().groups
    assert [rows for _, rows in groups] == [(0, 2, 3), (1,)]


@torch.no_grad()
def test_a_full_mask_is_the_stock_layer_bit_for_bit(model):
    plain = model(X)
    masks = MaskSet.from_targets(select_targets(model), NAMES)
    router = PathwayRouter(model, masks)
    with router.through(ROWS):
        assert torch.equal(model(X), plain)


@torch.no_grad()
def test_a_pruned_model_at_rest_serves_its_pathways(model, masks):
    """What the switch shows of one pathway is what the router computes."""
    targets = select_targets(model)
    switch = PathwaySwitch(targets, masks)
    router = PathwayRouter(model, masks)
    with router.through(ROWS):
        mixed = model(X)
    for row, name in enumerate(ROWS):
        with switch.pathway(name):
            torch.testing.assert_close(mixed[row], model(X)[row])


@torch.no_grad()
def test_languages_may_be_predicted(model, masks):
    router = PathwayRouter(model, masks)
    head = LanguageHead(NAMES, 8)
    found = head.predict(X)
    router.set(found)
    mixed = model(X)
    for row, name in enumerate(found):
        torch.testing.assert_close(
            mixed[row], alone(model, router, name)[row], rtol=1e-5, atol=1e-6
        )
    assert router.route == tuple(found)


def test_masks_may_be_a_file(model, masks, tmp_path):
    masks.save(tmp_path / "masks.pt")
    router = PathwayRouter({"asr": model}, renamed(masks, tmp_path))
    assert router.masks.pathways == tuple(NAMES)


def renamed(masks, folder):
    """The masks of the model as one of several modules, in a file."""
    other = MaskSet(
        {f"asr.{n}": s for n, s in masks.shapes.items()}, masks.pathways
    )
    other.save(folder / "renamed.pt")
    return folder / "renamed.pt"


def test_after_detach_it_is_the_stock_model(model, masks):
    router = PathwayRouter(model, masks)
    router.set("en")
    router.detach()
    assert torch.equal(model(X), Model()(X))
    PathwayRouter(model, masks)


def test_an_old_router_does_not_detach_a_new_one(model, masks):
    old = PathwayRouter(model, masks)
    old.detach()
    PathwayRouter(model, masks).set("en")
    old.detach()
    assert not torch.equal(model(X), Model()(X))
    with pytest.raises(UserError, match="must not be used after `detach`"):
        old.set("en")


def test_an_error_inside_leaves_the_route_as_it_was(model, masks):
    router = PathwayRouter(model, masks)
    router.set("en")
    with pytest.raises(ZeroDivisionError), router.through(ROWS):
        raise ZeroDivisionError
    assert router.route == ("en",)
    router.clear()
    assert router.route == ()


def test_an_error_in_a_layer_leaves_its_weights(model, masks):
    router = PathwayRouter(model, masks)
    before = model.first.weight
    with pytest.raises(RuntimeError), router.through("en"):
        model(drawn(4, 7, 3))
    assert model.first.weight is before


@torch.no_grad()
def test_a_compiled_model_follows_the_route(model, masks):
    compiled = torch.compile(model, backend="eager")
    router = PathwayRouter(model, masks)
    for route in (ROWS, ["en"] * 4, ["uk", "ru", "uk", "en"]):
        with router.through(route):
            torch.testing.assert_close(compiled(X), model(X))
    torch.testing.assert_close(compiled(X), model(X))


@torch.no_grad()
def test_what_does_not_change_is_not_compiled_anew():
    layer = nn.Linear(8, 8)
    convert(layer)
    PathwayRouter(layer, random_masks(layer, NAMES))
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(layer, backend=counter)
    for _ in range(4):
        compiled(X)
    assert counter.frame_count == 1


def test_bfloat16_autocast_masks_what_it_casts(model, masks):
    router = PathwayRouter(model, masks)
    with router.through(ROWS):
        wanted = model(X)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(X)
        found.float().sum().backward()
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)
    for name, parameter in model.named_parameters():
        if name in masks.shapes:
            union = masks.get("en", name)
            for other in NAMES:
                union = union | masks.get(other, name)
            assert not parameter.grad[~union].any() and parameter.grad.any()
