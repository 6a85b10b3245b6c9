"""What the router refuses, and what its trial run finds."""

import pytest
import torch
from random_masks import drawn, random_masks
from small_model import NAMES, ROWS, Model, X
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, PathwayRouter, convert, cover
from leanbrain.masking.nnet import linear


@pytest.fixture
def model():
    made = Model().eval()
    convert(made)
    return made


@pytest.fixture
def masks(model):
    return random_masks(model, NAMES)


def test_an_unknown_pathway_is_named(model, masks):
    router = PathwayRouter(model, masks)
    with pytest.raises(UserError, match="one of en, ru, uk; got 'urk'"):
        router.set(["en", "urk", "en", "en"])
    with pytest.raises(UserError, match="at least one, got none"):
        router.set([])
    assert router.route == ()


@pytest.mark.parametrize("pathways", [None, 3, {"en": 1}])
def test_pathways_must_be_names(model, masks, pathways):
    router = PathwayRouter(model, masks)
    with pytest.raises(UserError, match=f"list of names, got {pathways}"):
        router.set(pathways)


@pytest.mark.parametrize("wrong", [None, {"first.weight": X}])
def test_masks_must_be_masks(model, wrong):
    with pytest.raises(UserError, match=f"a file, got {type(wrong).__name__}"):
        PathwayRouter(model, wrong)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_a_model_that_is_wrapped(model, masks, wrap):
    with pytest.raises(UserError, match="router before the model is wrapped"):
        PathwayRouter({"asr": wrap(model)}, renamed(masks))


def renamed(masks):
    """The masks, of the model as one of several modules."""
    return MaskSet(
        {f"asr.{n}": s for n, s in masks.shapes.items()}, masks.pathways
    )


def test_a_layer_that_is_copied_part_by_part(model, masks):
    """As DataParallel does; masks would not reach the copy."""
    router = PathwayRouter(model, masks)
    copied = model.first._replicate_for_data_parallel()
    with router.through("en"), pytest.raises(UserError, match="got first"):
        copied(X)


@pytest.mark.parametrize(
    "rows", [["en"], ["en", "ru"], ROWS + ["en"], ["en"] * 3]
)
def test_a_list_of_another_length_than_the_batch(model, masks, rows):
    router = PathwayRouter(model, masks)
    with (
        router.through(rows),
        pytest.raises(UserError, match=f"got {len(rows)} pathways and 4 rows"),
    ):
        model(X)


def test_masks_of_another_architecture(model):
    other = MaskSet({"first.weight": [8, 8], "third.weight": [8, 8]}, NAMES)
    with pytest.raises(UserError, match="'third.weight', which it has not"):
        PathwayRouter(model, other)
    other = MaskSet({"first.weight": [8, 9]}, NAMES)
    with pytest.raises(UserError, match=r"shape \[8, 8\], got \[8, 9\]"):
        PathwayRouter(model, other)


def test_masks_of_layers_that_are_not_aware():
    model = Model()
    masks = random_masks(model, NAMES)
    with pytest.raises(UserError, match="'first.weight' of another and 1 more"):
        PathwayRouter(model, masks)


def test_a_second_router(model, masks):
    PathwayRouter(model, masks)
    with pytest.raises(UserError, match="one router, got a second for 'first'"):
        PathwayRouter(model, masks)


def test_a_packed_sequence_has_no_rows():
    model = nn.LSTM(8, 5, batch_first=True)
    convert(model)
    router = PathwayRouter(model, random_masks(model, NAMES))
    packed = nn.utils.rnn.pack_padded_sequence(
        X, [7, 5, 5, 2], batch_first=True
    )
    with (
        router.through(ROWS),
        pytest.raises(UserError, match="^A recurrent layer with"),
    ):
        model(packed)


def test_a_layer_with_a_router_is_not_compiled_to_torchscript(model, masks):
    router = PathwayRouter(model, masks)
    with pytest.raises(UserError, match="TorchScript, got first"):
        torch.jit.script(model)
    # Of an idle router, too: what is traced would never hear of a pathway.
    with pytest.raises(UserError, match="TorchScript, got first"):
        torch.jit.trace(model, X)
    with router.through(ROWS), pytest.raises(UserError, match="got first"):
        torch.jit.trace(model, X)
    router.detach()
    assert torch.equal(torch.jit.trace(model, X)(X), model(X))


@torch.no_grad()
def test_a_nested_tensor_has_no_rows():
    layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    model = nn.TransformerEncoder(layer, 1).eval()
    convert(model)
    router = PathwayRouter(model, random_masks(model, NAMES))
    padding = torch.arange(7) >= torch.tensor([[7], [5], [3], [7]])
    with (
        router.through(ROWS),
        pytest.raises(UserError, match="^Layers with pathways must get padded"),
    ):
        model(X, src_key_padding_mask=padding)


def test_a_model_that_is_one_layer_is_named():
    layer = nn.Linear(8, 8)
    convert(layer)
    masks = random_masks(layer, NAMES)
    router = PathwayRouter(layer, masks)
    with router.through(ROWS), pytest.raises(UserError, match="in the model "):
        layer(X[:2])
    with pytest.raises(UserError, match="a second for 'the model'"):
        PathwayRouter(layer, masks)


def test_check_passes_where_all_is_well(model, masks):
    router = PathwayRouter(model, masks)
    router.check(lambda: model(X), ROWS)
    assert router.route == ()


def read_past_its_forward(model):
    return lambda: nn.functional.linear(model.first(X), model.second.weight)


def test_check_finds_layers_whose_weights_are_read_past_them(model, masks):
    router = PathwayRouter(model, masks)
    weight = model.second.weight.detach().clone()
    with pytest.raises(UserError, match="got none of second"):
        router.check(read_past_its_forward(model), ROWS)
    assert torch.equal(model.second.weight, weight)


def test_check_lets_pass_layers_that_are_never_used(model, masks):
    """As models of Hugging Face have some."""
    router = PathwayRouter(model, masks)
    weight = model.second.weight.detach().clone()
    router.check(lambda: model.first(X), ROWS)
    assert torch.equal(model.second.weight, weight)


def test_a_cache_of_parametrized_weights_is_refused():
    """It would give all rows the weights of the first pathway."""
    model = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    )
    convert(model)
    router = PathwayRouter(model, random_masks(model, NAMES))
    with router.through(ROWS):
        model(X)
        with (
            nn.utils.parametrize.cached(),
            pytest.raises(UserError, match=r"inside `parametrize.cached\(\)`"),
        ):
            model(X)


def test_a_layer_that_bypasses_what_it_is_derived_from(masks):
    class Bypass(linear.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.w.weight)

    class Through(linear.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    for kind, lost in ((Bypass, ["w.weight"]), (Through, [])):
        layer = kind(n_neurons=8, input_size=8, bias=False)
        assert list(cover(layer).lost) == lost
        own = MaskSet({"w.weight": [8, 8]}, NAMES)
        if lost:
            with pytest.raises(UserError, match="'w.weight' of another"):
                PathwayRouter(layer, own)
        else:
            PathwayRouter(layer, own)


def test_check_finds_time_before_the_batch():
    """Where there are as many frames as utterances, no size tells."""
    layer = nn.Linear(8, 8)
    convert(layer)
    router = PathwayRouter(layer, random_masks(layer, NAMES))
    square = drawn(4, 4, 8)
    with pytest.raises(UserError, match="is a layer's input not batch first"):
        router.check(
            lambda: layer(square.transpose(0, 1)).transpose(0, 1), ROWS
        )


@pytest.mark.parametrize("pathways", [["en"] * 4, "en", [], None])
def test_check_needs_two_pathways(model, masks, pathways):
    router = PathwayRouter(model, masks)
    with pytest.raises(UserError, match="a list with two different ones at"):
        router.check(lambda: model(X), pathways)


@pytest.mark.parametrize("wrong", [lambda x: (x,), lambda x: x[:2]])
def test_check_needs_rows(model, masks, wrong):
    router = PathwayRouter(model, masks)
    with pytest.raises(UserError, match="must return a tensor with 4 rows"):
        router.check(lambda: wrong(model(X)), ROWS)


def test_check_takes_infinities_that_are_equal_and_no_other_number(
    model, masks
):
    router = PathwayRouter(model, masks)
    low = torch.full((4, 7, 1), float("-inf"))
    router.check(lambda: torch.cat([model(X), low], 2), ROWS)
    with pytest.raises(UserError, match="got a difference of nan in rows of"):
        router.check(lambda: torch.cat([model(X), low - low], 2), ROWS)


def test_a_parameter_that_was_taken_away_is_named():
    layer = nn.utils.weight_norm(nn.Conv1d(3, 3, 3))
    model = nn.Sequential(layer)
    convert(model)
    router = PathwayRouter(model, random_masks(model, NAMES))
    nn.utils.remove_weight_norm(layer)
    with router.through("en"), pytest.raises(UserError, match="'0.weight_v'"):
        model(torch.rand(1, 3, 9))
