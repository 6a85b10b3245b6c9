"""Merged low-rank updates: exact where weights are kept, zero elsewhere."""

import copy

import pytest
import torch
from speechbrain.nnet.adapters import (
    AdaptedModel,
    HoulsbyAdapterLinear,
    LoRA,
)

from leanbrain.checks import UserError
from leanbrain.masking.merging import (
    low_rank_update,
    merge_adapters,
    merge_low_rank,
)

LAYERS = {
    "linear": (torch.nn.Linear(6, 5), (3, 6)),
    "conv1d": (torch.nn.Conv1d(6, 5, 3, stride=2, padding=1), (3, 6, 9)),
    "dilated": (torch.nn.Conv1d(6, 5, 2, dilation=2), (3, 6, 9)),
    "conv2d": (torch.nn.Conv2d(6, 5, (3, 2)), (2, 6, 7, 8)),
}


def trained(layer, pruned):
    """A LoRA round a copy of the layer, as if it had learnt something."""
    generator = torch.Generator().manual_seed(0)
    base = copy.deepcopy(layer).double()
    mask = torch.ones_like(base.weight, dtype=torch.bool)
    if pruned:
        mask = torch.rand(mask.shape, generator=generator) > 0.5
        base.weight.data.masked_fill_(~mask, 0.0)
    adapter = LoRA(base, rank=2, alpha=3.0).double()
    for part in (adapter.adapter_down_proj, adapter.adapter_up_proj):
        part.weight.data.normal_(generator=generator)
    return adapter, mask


def merge(adapter, mask=None):
    return merge_low_rank(
        adapter.pretrained_module.weight,
        adapter.adapter_down_proj.weight,
        adapter.adapter_up_proj.weight,
        adapter.scaling,
        mask,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_dense_weight_computes_what_the_adapter_did(name):
    layer, shape = LAYERS[name]
    adapter, _ = trained(layer, pruned=False)
    x = torch.randn(shape, dtype=torch.float64)
    expected = adapter(x)
    before = adapter.pretrained_module(x)
    assert merge(adapter) == 0.0
    merged = adapter.pretrained_module(x)
    torch.testing.assert_close(merged, expected)
    assert not torch.allclose(before, expected)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_zeros_stay_and_the_rest_moves_as_by_definition(name, given):
    adapter, mask = trained(LAYERS[name][0], pruned=True)
    weight = adapter.pretrained_module.weight
    before = weight.detach().clone()
    update = low_rank_update(
        adapter.adapter_down_proj.weight,
        adapter.adapter_up_proj.weight,
        adapter.scaling,
    )
    lost = merge(adapter, mask if given else None)
    assert torch.equal(weight == 0, ~mask)
    assert torch.equal(weight[mask], (before + update)[mask])
    share = (update[~mask].norm() ** 2 / update.norm() ** 2).detach()
    assert lost == pytest.approx(float(share)) and 0.1 < lost < 0.9


def test_a_mask_decides_over_zeros():
    """A kept weight that happens to be zero may move."""
    weight = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    mask = torch.tensor([[True, False], [True, False]])
    merge_low_rank(weight, torch.ones(1, 2), torch.ones(2, 1), 2.0, mask)
    assert weight.tolist() == [[2.0, 0.0], [3.0, 1.0]]


def test_an_update_of_nothing_loses_nothing():
    weight = torch.eye(2)
    lost = merge_low_rank(weight, torch.ones(1, 2), torch.zeros(2, 1))
    assert lost == 0.0 and torch.equal(weight, torch.eye(2))


def test_half_precision_weights_stay_half():
    weight = torch.eye(2, dtype=torch.bfloat16)
    merge_low_rank(weight, torch.ones(1, 2), torch.ones(2, 1))
    assert weight.dtype == torch.bfloat16
    assert weight.tolist() == [[2.0, 0.0], [0.0, 2.0]]


def pruned_model():
    """Two linear layers and a convolution, half of the weights zero."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6)
    )
    for layer in (model[0], model[2]):
        mask = torch.rand(layer.weight.shape) > 0.5
        layer.weight.data.masked_fill_(~mask, 0.0)
    return model


def test_every_adapter_of_a_model_is_merged():
    model = pruned_model()
    keys = list(model.state_dict())
    zeros = {n: p == 0 for n, p in model.named_parameters()}
    adapted = AdaptedModel(model, LoRA, all_linear=True)
    for name, parameter in adapted.named_parameters():
        if "adapter_up_proj" in name:
            torch.nn.init.normal_(parameter)
    update = low_rank_update(
        model[0].adapter_down_proj.weight,
        model[0].adapter_up_proj.weight,
        model[0].scaling,
    )
    before = model[0].pretrained_module.weight.detach().clone()
    assert set(merge_adapters(adapted)) == {"0", "2"}
    assert list(model.state_dict()) == keys
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter == 0, zeros[name])
    kept = ~zeros["0.weight"]
    torch.testing.assert_close(model[0].weight[kept], (before + update)[kept])


def test_masks_are_given_by_the_names_of_weights():
    model = pruned_model()
    mask = torch.zeros_like(model[0].weight, dtype=torch.bool)
    before = model[0].weight.detach().clone()
    AdaptedModel(model, LoRA, target_layers=["0"])
    torch.nn.init.ones_(model[0].adapter_up_proj.weight)
    assert merge_adapters(model, {"0.weight": mask}) == {"0": 1.0}
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize(
    "down, up, match",
    [
        ((2, 6), (5, 3), r"the rank of `down`, .* got \[5, 3\] for \[2, 6\]"),
        ((2, 6, 3), (5, 2, 3), "and pointwise, got"),
        ((2, 4), (5, 2), r"make a weight of \[5, 6\], got \[5, 4\]"),
    ],
)
def test_misfits_are_refused(down, up, match):
    weight = torch.ones(5, 6)
    with pytest.raises(UserError, match=match):
        merge_low_rank(weight, torch.ones(down), torch.ones(up))
    assert torch.equal(weight, torch.ones(5, 6))


@pytest.mark.parametrize(
    "mask", [torch.ones(2, 2), torch.ones(2, dtype=torch.bool)]
)
def test_a_mask_that_is_none_is_refused(mask):
    with pytest.raises(UserError, match=r"`mask` must be bool \[2, 2\], got"):
        merge_low_rank(
            torch.ones(2, 2), torch.ones(1, 2), torch.ones(2, 1), mask=mask
        )


def test_models_that_cannot_be_merged_are_refused():
    with pytest.raises(UserError, match="must hold LoRA adapters .* got Seq"):
        merge_adapters(pruned_model())
    houlsby = AdaptedModel(
        pruned_model(),
        HoulsbyAdapterLinear,
        all_linear=True,
        adapter_kwargs={"projection_size": 2},
    )
    with pytest.raises(UserError, match="must hold LoRA adapters"):
        merge_adapters(houlsby)
    adapted = AdaptedModel(pruned_model(), LoRA, all_linear=True)
    with pytest.raises(UserError, match="weights of adapted layers, got 1.w"):
        merge_adapters(adapted, {"1.weight": torch.ones(1)})


def test_a_tied_weight_is_refused_before_anything_changes():
    """Both layers would get the updates of both."""
    model = pruned_model()
    model.append(torch.nn.Linear(6, 8))
    model[3].weight = model[0].weight
    before = model[2].weight.detach().clone()
    AdaptedModel(model, LoRA, target_layers=["0", "2"])
    torch.nn.init.ones_(model[2].adapter_up_proj.weight)
    with pytest.raises(UserError, match="one layer, got '0.weight', which is"):
        merge_adapters(model)
    assert torch.equal(model[2].pretrained_module.weight, before)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")
@pytest.mark.parametrize(
    "norm",
    [
        torch.nn.utils.weight_norm,
        torch.nn.utils.parametrizations.weight_norm,
    ],
)
def test_a_computed_weight_is_refused_before_anything_changes(norm):
    """What is added to it would be lost."""
    model = pruned_model()
    norm(model[2])
    before = model[0].weight.detach().clone()
    AdaptedModel(model, LoRA, all_linear=True)
    torch.nn.init.ones_(model[0].adapter_up_proj.weight)
    with pytest.raises(UserError, match="'2.weight', which is computed from"):
        merge_adapters(model)
    assert torch.equal(model[0].pretrained_module.weight, before)


def test_a_wrong_mask_is_refused_before_anything_changes():
    model = pruned_model()
    before = model[0].weight.detach().clone()
    AdaptedModel(model, LoRA, all_linear=True)
    torch.nn.init.ones_(model[0].adapter_up_proj.weight)
    wrong = {"2.weight": torch.ones(1, dtype=torch.bool)}
    with pytest.raises(UserError, match=r"`masks\['2.weight'\]` must be bool"):
        merge_adapters(model, wrong)
    assert torch.equal(model[0].pretrained_module.weight, before)
