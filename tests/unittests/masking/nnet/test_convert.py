"""Conversion in place: whole models, and what it refuses, by name."""

import copy
import pickle

import pytest
import torch
from converted_models import MODELS, B
from random_masks import drawn, random_masks
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from leanbrain.checks import UserError
from leanbrain.masking import PathwayRouter, convert, cover, select_targets
from leanbrain.masking.nnet.linear import Linear

ROWS = ["ru", "en", "ru", "uk", "en", "es"]


class Mine(nn.Linear):
    """Derived, with the same forward."""


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_model_is_the_same_and_serves_mixed_batches(name):
    torch.manual_seed(5)
    model, run = MODELS[name]()
    model.eval()
    keys = list(model.state_dict())
    torch.manual_seed(6)  # some layers add noise
    with torch.no_grad():
        before = run()
    coverage = convert(model)
    assert coverage.layers and not coverage.lost
    torch.manual_seed(6)
    with torch.no_grad():
        assert torch.equal(run(), before)
    assert list(model.state_dict()) == keys
    router = PathwayRouter(model, random_masks(model, ["en", "es", "ru", "uk"]))
    router.check(run, ROWS)
    with torch.no_grad(), router.through(ROWS):
        mixed = run()
    assert (mixed - before).abs().max() > 1e-3 * before.abs().max()


def test_both_kinds_of_weight_norm_are_masked():
    class Normed(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.conv = norm(nn.Conv1d(4, 5, 3))

        def forward(self, x):
            return self.conv(x)

    x = drawn(B, 4, 9)
    kinds = (
        nn.utils.weight_norm,
        nn.utils.parametrizations.weight_norm,
    )
    for norm in kinds:
        torch.manual_seed(0)
        model = Normed(norm).eval()
        convert(model)
        (target,) = select_targets(model)
        masks = random_masks(model, ["en", "ru", "es", "uk"])
        router = PathwayRouter(model, masks)
        router.check(lambda m=model: m(x), ROWS)
        with torch.no_grad(), router.through("ru"):
            mixed = model(x)
        twin = copy.deepcopy(model)
        with torch.no_grad():
            direction = dict(twin.named_parameters())[target.name]
            direction.mul_(masks.get("ru", target.name))
            torch.testing.assert_close(twin(x), mixed)
            assert not torch.allclose(model(x), mixed)


def test_a_weight_that_is_read_past_the_layer_is_named():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lin = nn.Conv1d(4, 4, 3), nn.Linear(4, 4)

        def forward(self, x):
            return self.lin(self.convolve(x).mean(-1).to(self.lin.weight.dtype))

        def convolve(self, x):
            return F.conv1d(x, self.conv.weight)

    model = Reads()
    coverage = cover(model)
    assert list(coverage.lost) == ["conv.weight"]
    with pytest.raises(UserError, match="Reads reads `conv.weight` past the p"):
        convert(model)
    assert type(model.lin) is nn.Linear
    # Without that target there is nothing in the way.
    convert(model, select_targets(model, exclude=["conv.*"]))
    assert type(model.lin) is not nn.Linear


class Alias(nn.Module):
    """Its forwards read weights by another name than `self.conv.weight`."""

    def __init__(self):
        super().__init__()
        self.lins = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.last = nn.Linear(3, 3)


class Named(Alias):
    def forward(self, x):
        lin = self.last
        weight = lin.weight
        return F.linear(self.lins[0](self.lins[1](x)), weight)


class Indexed(Alias):
    def forward(self, x, i=0):
        return F.linear(self.last(x), self.lins[i].weight)


class Looped(Alias):
    def forward(self, x):
        for i, lin in enumerate(self.lins):
            x = F.linear(x, lin.weight) + i
        return self.last(x)


class Zipped(Alias):
    def forward(self, x):
        return [
            F.linear(y, f.weight) for y, f in zip(x, self.lins, strict=True)
        ]


class Shapes(Alias):
    def forward(self, x):
        for lin in self.lins:
            x = lin(x.to(lin.weight.dtype))
        last = self.last
        return last(x.view(-1, last.weight.shape[1]))


class Asks(Alias):
    """Looks at weights and computes nothing with them, as T5 does."""

    def forward(self, x):
        if isinstance(self.last.weight, torch.Tensor):
            x = x.to(self.last.weight.dtype)
        if self.lins[0].weight is None or not self.lins[1].weight.numel():
            return x
        return self.last(self.lins[1](self.lins[0](x)))


@pytest.mark.parametrize(
    ("kind", "lost"),
    [
        (Named, ["last.weight"]),
        (Indexed, ["lins.0.weight", "lins.1.weight"]),
        (Looped, ["lins.0.weight", "lins.1.weight"]),
        (Zipped, ["lins.0.weight", "lins.1.weight"]),
        (Shapes, []),
        (Asks, []),
    ],
)
def test_a_weight_that_is_read_by_another_name(kind, lost):
    assert sorted(cover(kind()).lost) == lost


def test_a_weight_in_a_forward_that_is_not_known_is_named():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))

        def forward(self, x):
            return x @ self.weight.T

    with pytest.raises(UserError, match="'weight': Own uses it in a `forward`"):
        convert(Own())


def test_time_before_the_batch_is_named():
    from speechbrain.nnet.RNN import QuasiRNN

    model = QuasiRNN(4, input_size=3, bidirectional=False)
    with pytest.raises(UserError, match="QuasiRNNLayer runs its parts with ti"):
        convert(model)


def test_a_layer_derived_with_a_forward_of_its_own_is_not_converted():
    class Odd(nn.Linear):
        def forward(self, x):
            return F.linear(x.flip(0), self.weight)

    with pytest.raises(UserError, match="Odd uses it in a `forward` that is n"):
        convert(nn.Sequential(Odd(3, 3)))


def test_converting_twice_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    convert(model)
    with pytest.raises(UserError, match=r"not be converted twice, .*\(0, 1\)"):
        convert(model)
    with pytest.raises(UserError, match=r"twice, .* only \(the model\)"):
        convert(model[0])
    # What came later is converted.
    model.append(nn.Linear(3, 2))
    assert list(convert(model).layers) == ["0", "1", "2"]


def test_weights_that_hooks_make_are_named():
    """Masked after the hook has run, they would stay as they were."""
    for make in (
        nn.utils.spectral_norm,
        lambda x: prune.random_unstructured(x, "weight", 0.5),
    ):
        model = nn.Sequential(make(nn.Linear(3, 3)))
        with pytest.raises(
            UserError, match="'0.weight_orig': Linear computes `weight` from it"
        ):
            convert(model)
        assert type(model[0]) is nn.Linear
    # In a part of a layer, the hook runs between the layer's weights.
    layer = Linear(n_neurons=3, input_size=3).eval()
    nn.utils.spectral_norm(layer.w)
    router = PathwayRouter(layer, random_masks(layer, ["en", "ru"]))
    with torch.no_grad(), router.through("ru"):
        masked = layer(drawn(2, 3))
    assert not torch.allclose(masked, layer(drawn(2, 3)))


@pytest.mark.parametrize("kind", [nn.Linear, Mine])
def test_a_parametrization_can_be_removed_afterwards(kind):
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(kind(3, 3)))
    convert(model)
    before = model(drawn(2, 3))
    assert torch.equal(copy.deepcopy(model)(drawn(2, 3)), before)
    with pytest.raises(RuntimeError, match="Serialization of parametrized"):
        pickle.dumps(model)
    nn.utils.parametrize.remove_parametrizations(model[0], "weight")
    assert isinstance(model[0], kind)
    torch.testing.assert_close(model(drawn(2, 3)), before)
    router = PathwayRouter(model, random_masks(model, ["en", "ru"]))
    with router.through("en"):
        assert not torch.allclose(model(drawn(2, 3)), before)


@pytest.mark.parametrize("targets", [[], ["0.weight"], "*"])
def test_targets_must_be_targets(targets):
    with pytest.raises(
        UserError, match="must be what `select_targets` returned"
    ):
        convert(nn.Sequential(nn.Linear(3, 3)), targets)


def test_targets_of_another_model():
    other = select_targets(nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(UserError, match="'0.weight': it is no parameter of th"):
        convert(nn.Sequential(nn.Linear(3, 3)), other)


@pytest.mark.parametrize("modules", [None, [nn.Linear(2, 2)], {"a": 1}])
def test_modules_must_be_modules(modules):
    with pytest.raises(UserError, match="module or modules by name, such as"):
        convert(modules)


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, torch.compile, torch.jit.script]
)
def test_a_wrapped_model_is_refused(wrap):
    with pytest.raises(UserError, match="must be converted before it is"):
        convert({"asr": nn.Sequential(wrap(nn.Linear(3, 3)))})


def test_a_layer_with_two_names_is_converted_once():
    layer = nn.Linear(3, 3)
    modules = {"first": nn.Sequential(layer, layer), "second": layer}
    assert list(convert(modules).layers) == ["first.0", "first.1", "second"]
    router = PathwayRouter(modules, random_masks(modules, ["en", "ru"]))
    router.check(lambda: modules["first"](drawn(2, 3)), ["en", "ru"])
    assert isinstance(layer, nn.Linear)


def test_layers_of_a_yaml_need_no_conversion():
    model = nn.Sequential(Linear(n_neurons=3, input_size=3), nn.Linear(3, 4))
    coverage = cover(model)
    assert coverage.aware == {"0"} and list(coverage.layers) == ["0", "1"]
