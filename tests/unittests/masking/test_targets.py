"""Which parameters are selected, by name, from layers of every kind."""

import sys

import pytest
import torch
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import DEFAULT_EXCLUDE, Target, select_targets


class Zoo(nn.Module):
    """One of each layer whose parameters are told apart."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.conv = nn.Conv1d(4, 6, 3)
        self.depthwise = nn.Conv1d(6, 6, 3, groups=6)
        self.lstm = nn.LSTM(4, 3, bidirectional=True)
        self.gru = nn.GRU(4, 3)
        self.attention = nn.MultiheadAttention(4, 2)
        self.attention_qkv = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.raw = nn.Parameter(torch.randn(3, 4))
        self.normed = torch.nn.utils.weight_norm(nn.Conv1d(4, 4, 3))
        self.parametrized = torch.nn.utils.parametrizations.weight_norm(
            nn.Linear(4, 5)
        )
        self.batch_norm = nn.BatchNorm1d(4)
        self.instance_norm = nn.InstanceNorm1d(4, affine=True)
        self.layer_norm = nn.LayerNorm([3, 4])
        self.group_norm = nn.GroupNorm(2, 4)
        self.embedding = nn.Embedding(9, 4)
        self.bag = nn.EmbeddingBag(9, 4)
        self.pos_bias_u = nn.Parameter(torch.randn(2, 2))
        self.positional_embedding = nn.Parameter(torch.randn(5, 4))
        self.scale = nn.Parameter(torch.randn(1, 4, 1))
        self.frozen = nn.Linear(4, 3)
        self.frozen.weight.requires_grad_(False)


EXPECTED = {
    "linear.weight",
    "conv.weight",
    "depthwise.weight",
    "lstm.weight_ih_l0",
    "lstm.weight_hh_l0",
    "lstm.weight_ih_l0_reverse",
    "lstm.weight_hh_l0_reverse",
    "gru.weight_ih_l0",
    "gru.weight_hh_l0",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "attention_qkv.q_proj_weight",
    "attention_qkv.k_proj_weight",
    "attention_qkv.v_proj_weight",
    "attention_qkv.out_proj.weight",
    "raw",
    "normed.weight_v",
    "parametrized.parametrizations.weight.original1",
}


@pytest.fixture
def zoo():
    return Zoo()


def names(targets):
    return [t.name for t in targets]


def test_selects_weights_of_every_kind_and_nothing_else(zoo):
    targets = select_targets(zoo)
    assert set(names(targets)) == EXPECTED
    parameters = dict(zoo.named_parameters())
    assert all(t.parameter is parameters[t.name] for t in targets)
    order = [n for n in parameters if n in EXPECTED]
    assert names(targets) == order


def test_rms_norm_is_a_norm():
    if not hasattr(nn, "RMSNorm"):
        pytest.skip("this torch has no RMSNorm")
    model = nn.ModuleList([nn.RMSNorm([3, 4]), nn.Linear(2, 2)])
    assert names(select_targets(model)) == ["1.weight"]


def test_include_and_exclude(zoo):
    chosen = select_targets(zoo, include=["*.weight_ih_*"])
    assert set(names(chosen)) == {n for n in EXPECTED if "_ih_" in n}
    chosen = select_targets(zoo, exclude=["lstm.*", "raw"])
    wanted = {n for n in EXPECTED if not n.startswith(("lstm.", "raw"))}
    assert set(names(chosen)) == wanted
    chosen = select_targets(zoo, include=["lstm.*"], exclude=["*_reverse"])
    assert names(chosen) == ["lstm.weight_ih_l0", "lstm.weight_hh_l0"]


@pytest.mark.parametrize("layer", ["ctc_lin", "seq_lin", "output_lin"])
def test_output_layers_are_left_out_by_default(layer):
    model = nn.ModuleDict({"enc": nn.Linear(2, 2), layer: nn.Linear(2, 3)})
    assert names(select_targets(model)) == ["enc.weight"]
    everything = select_targets(model, exclude=[])
    assert names(everything) == ["enc.weight", f"{layer}.weight"]
    assert any(layer in pattern for pattern in DEFAULT_EXCLUDE)


def test_output_layers_of_other_recipes_are_left_out_by_default():
    """Speakers, sounds, phonemes: as SpeechBrain's YAML files name them."""
    from speechbrain.lobes.models import ECAPA_TDNN, Xvector
    from speechbrain.nnet.linear import Linear

    model = nn.ModuleDict(
        {
            "classifier": ECAPA_TDNN.Classifier(4, out_neurons=3),
            "xvector": nn.ModuleDict(
                {"classifier": Xvector.Classifier((2, 3, 4), lin_neurons=5)}
            ),
            "output": Linear(n_neurons=3, input_size=4),
            "head": nn.ModuleDict({"classifier": nn.Linear(4, 3)}),
            # A network that is called so is pruned, but for its end.
            "digit_classifier": nn.ModuleDict({"conv": nn.Conv1d(4, 3, 2)}),
            "dense": nn.ModuleDict({"output": nn.Linear(4, 3)}),
        }
    )
    assert names(select_targets(model)) == [
        "xvector.classifier.DNN.block_0.linear.w.weight",
        "digit_classifier.conv.weight",
        "dense.output.weight",
    ]


@pytest.mark.parametrize(
    "name",
    ["critic", "mpd_critic", "disc", "lora_embedding_A", "lora_down"],
)
def test_discriminators_and_adapters_by_their_other_names(name):
    model = nn.ModuleDict({name: nn.Linear(4, 4), "hidden": nn.Linear(4, 4)})
    assert [x.name for x in select_targets(model)] == ["hidden.weight"]


def test_modules_by_name():
    modules = {"enc": nn.Linear(2, 2), "dec": nn.GRU(2, 2)}
    as_dict = select_targets(modules)
    as_module = select_targets(nn.ModuleDict(modules))
    assert names(as_dict) == names(as_module)
    assert names(as_dict)[0] == "enc.weight"


# -- ties --------------------------------------------------------------------


def test_ties_are_one_target_with_aliases():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    model = nn.ModuleDict({"a": first, "b": second, "c": first})
    (target,) = select_targets(model)
    assert target.name == "a.weight" and target.parameter is first.weight
    assert target.aliases == ("b.weight", "c.weight")
    (by_alias,) = select_targets(model, include=["b.*"])
    assert by_alias.name == "a.weight"
    with pytest.raises(UserError, match="must leave at least one parameter"):
        select_targets(model, exclude=["c.*"])


def test_tied_to_an_embedding_is_an_embedding():
    embedding, output = nn.Embedding(7, 4), nn.Linear(4, 7)
    output.weight = embedding.weight
    for order in (("e", "o"), ("o", "e")):
        layers = {"e": embedding, "o": output}
        model = nn.ModuleDict({k: layers[k] for k in order})
        model["x"] = nn.Linear(2, 2)
        assert names(select_targets(model)) == ["x.weight"]


def test_one_module_holding_a_parameter_twice():
    layer = nn.Linear(3, 3)
    layer.same = layer.weight
    (target,) = select_targets(layer)
    assert (target.name, target.aliases) == ("weight", ("same",))


# -- groups ------------------------------------------------------------------


def test_groups_are_parts_of_the_name_by_default(zoo):
    groups = {t.name: t.group for t in select_targets({"model": zoo})}
    assert groups["model.lstm.weight_hh_l0"] == "model.lstm"
    assert groups["model.attention.out_proj.weight"] == "model.attention"
    assert groups["model.raw"] == "model"
    (alone,) = select_targets(nn.Linear(2, 2))
    assert alone.group == "weight"


def test_groups_by_pattern_first_match_wins(zoo):
    patterns = {"hidden": ["*_hh_*"], "rnn": ["lstm.*", "gru.*"]}
    groups = {t.name: t.group for t in select_targets(zoo, groups=patterns)}
    assert groups["lstm.weight_hh_l0"] == "hidden"
    assert groups["lstm.weight_ih_l0"] == "rnn"
    assert groups["linear.weight"] == "other"


# -- patterns without effect -------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"include": ["linaer.*"]},
            r"`include` pattern 'linaer.\*' must match at least one "
            r"parameter, got none \(nearest names: linear\.",
        ),
        (
            {"include": ["lin*", "lsmt.*"]},
            r"`include` pattern 'lsmt.\*' .*nearest names: .*lstm\.",
        ),
        (
            {"exclude": ["atention.*"]},
            r"`exclude` pattern 'atention.\*' .*nearest names: attention\.",
        ),
        (
            {"groups": {"rnn": ["grus.*"]}},
            r"`groups.rnn` pattern 'grus.\*' .*nearest names: gru\.",
        ),
        (
            {"include": ["qqqqqqqqqqqq"]},
            r"nearest names: raw, pos_bias_u, positional_embedding\)",
        ),
        (
            {"include": ["*.bias"]},
            r"at least one parameter that can be masked, got "
            r"'linear.bias', which is a bias",
        ),
        ({"include": ["frozen.weight"]}, "which is frozen"),
        ({"include": ["scale"]}, "which is a vector"),
        ({"include": ["layer_norm.weight"]}, "which is of a norm layer"),
        ({"include": ["bag.*"]}, "which is an embedding"),
        ({"include": "*"}, r"`include` must be a list of patterns, got"),
        ({"exclude": ["*"]}, "must leave at least one parameter"),
    ],
)
def test_patterns_without_effect_are_errors(zoo, settings, message):
    with pytest.raises(UserError, match=message):
        select_targets(zoo, **settings)


def test_targets_are_compared_by_identity(zoo):
    target = select_targets(zoo)[0]
    assert isinstance(target, Target) and target == target
    assert target != select_targets(zoo)[0]


# -- SpeechBrain's layers ----------------------------------------------------


@pytest.mark.slow
def test_speechbrain_layers():
    from speechbrain.lobes.models.transformer.Conformer import (
        ConformerEncoderLayer,
    )
    from speechbrain.nnet.CNN import GaborConv1d, SincConv
    from speechbrain.nnet.linear import Linear
    from speechbrain.nnet.normalization import BatchNorm1d
    from speechbrain.nnet.RNN import LSTM, LiGRU

    model = nn.ModuleDict(
        {
            "sinc": SincConv(
                input_shape=(2, 600, 1), out_channels=8, kernel_size=5
            ),
            "gabor": GaborConv1d(8, 5, 1, in_channels=1),
            "lstm": LSTM(hidden_size=3, input_size=4),
            "ligru": LiGRU(hidden_size=3, input_shape=(2, 5, 4)),
            "lin": Linear(n_neurons=3, input_size=4),
            "bn": BatchNorm1d(input_size=4),
            "conformer": ConformerEncoderLayer(
                d_model=8, d_ffn=16, nhead=2, kernel_size=3
            ),
        }
    )
    chosen = names(select_targets(model))
    assert {n.split(".")[0] for n in chosen} == {
        "lstm",
        "ligru",
        "lin",
        "conformer",
    }
    assert "conformer.mha_layer.in_proj_weight" in chosen
    assert not [n for n in chosen if "bias" in n or "norm" in n]


def test_physical_layers_are_found_without_importing_speechbrain(monkeypatch):
    class Sinc(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(3, 2))

    class Derived(Sinc):
        pass

    model = nn.ModuleDict({"sinc": Derived(), "x": nn.Linear(2, 2)})
    fake = type(sys)("speechbrain.nnet.CNN")
    fake.SincConv, fake.GaborConv1d = Sinc, Sinc
    monkeypatch.delitem(sys.modules, "speechbrain.nnet.CNN", raising=False)
    assert names(select_targets(model)) == ["sinc.kernel", "x.weight"]
    monkeypatch.setitem(sys.modules, "speechbrain.nnet.CNN", fake)
    assert names(select_targets(model)) == ["x.weight"]


def test_lazy_layers_have_no_shape_yet():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(UserError, match="seen a batch before, got '0.weight'"):
        select_targets(model)
    model(torch.rand(2, 4))
    assert names(select_targets(model)) == ["0.weight"]


@pytest.mark.parametrize("empty", [{}, nn.ReLU()])
def test_modules_without_parameters(empty):
    with pytest.raises(UserError, match="`modules` must have parameters, got"):
        select_targets(empty)
