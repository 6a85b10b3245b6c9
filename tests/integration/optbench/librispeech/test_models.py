"""The networks: AlgoPerf's size, blind to padding, and what each part does."""

import pytest
import torch

from leanbrain.hyperyaml import load_yaml

# Counted in mlcommons/algorithmic-efficiency @2c90454 by building its models
# (algoperf/workloads/librispeech_*/librispeech_pytorch/models.py).
PUBLISHED = [
    ("conformer", None, 32_321_792),
    ("conformer", "attention_temperature", 32_321_792),
    ("conformer", "layernorm", 32_317_696),
    ("conformer", "gelu", 32_321_792),
    ("deepspeech", None, 18_393_600),
    ("deepspeech", "tanh", 18_393_600),
    ("deepspeech", "no_resnet", 18_393_600),
    ("deepspeech", "norm_and_spec_aug", 18_392_576),
]
SMALL = {
    "conformer": {"layers": 2, "size": 16, "heads": 2, "vocabulary": 9},
    "deepspeech": {
        "lstm_layers": 2,
        "feed_layers": 1,
        "size": 16,
        "vocabulary": 9,
    },
}


@pytest.fixture
def load(piece, recipe):
    piece("librispeech_layers")

    def build(name, variant=None, **overrides):
        path = recipe / "hparams" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        changes = load_yaml(text)["variants"][variant] if variant else {}
        return load_yaml(text, {**changes, **overrides})

    return build


@pytest.fixture
def layers(piece):
    return piece("librispeech_layers")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant", "count"), PUBLISHED)
def test_as_many_parameters_as_algoperf_and_a_forward_pass(
    load, name, variant, count
):
    hparams = load(name, variant)
    modules = torch.nn.ModuleDict(hparams["modules"])
    assert sum(p.numel() for p in modules.parameters()) == count
    waves = torch.randn(2, 16000)
    frames = torch.tensor([101, 60])
    feats = modules["compute_features"](waves)
    assert feats.shape == (2, 101, 80)
    feats = modules["normalize"](feats, (frames - 0.5) / 101)
    logits, lengths = modules["model"](
        modules["augment"](feats, frames), frames
    )
    assert logits.shape == (2, 26, 1024) and lengths.tolist() == [26, 15]
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("name", "variant"), [x[:2] for x in PUBLISHED], ids=str
)
def test_a_variant_changes_what_the_network_computes(load, name, variant):
    base, other = (load(name, v, **SMALL[name]) for v in (None, variant))
    x, lengths = torch.randn(1, 40, 80), torch.tensor([40])
    weights = base["modules"]["model"].state_dict()
    other["modules"]["model"].load_state_dict(weights, strict=False)
    y, z = (h["modules"]["model"].eval()(x, lengths)[0] for h in (base, other))
    assert torch.equal(y, z) == (variant is None)
    assert set(base["targets"]) == set(base["test_targets"])
    assert set(base["targets"]) == {"base", *base["variants"]}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_padding_is_not_seen(load, name, layer_norm, training):
    changes = {"layer_norm": layer_norm} if name == "deepspeech" else {}
    hparams = load(name, dropout=0.0, **SMALL[name], **changes)
    model = hparams["modules"]["model"].double().train(training)
    torch.manual_seed(0)
    x, lengths = torch.randn(3, 61, 80).double(), torch.tensor([61, 42, 30])
    x.requires_grad_()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    y, shorter = model(x, lengths)
    kept = [y[i, :n] for i, n in enumerate(shorter)]
    torch.cat(kept).square().sum().backward()
    for i, n in enumerate(lengths):
        assert not x.grad[i, n:].any() and x.grad[i, :n].any()
    # Other padding, and more of it.
    model.load_state_dict(state)
    padded = torch.full((3, 80, 80), 1e4).double()
    for i, n in enumerate(lengths):
        padded[i, :n] = x[i, :n].detach()
    z, again = model(padded, lengths)
    assert torch.equal(again, shorter)
    for i, n in enumerate(shorter):
        torch.testing.assert_close(z[i, :n], kept[i], rtol=1e-9, atol=1e-9)
        if not training:
            alone = model(
                x[i : i + 1, : lengths[i]].detach(), lengths[i : i + 1]
            )
            torch.testing.assert_close(
                alone[0][0], kept[i], rtol=1e-9, atol=1e-9
            )


def test_batch_norm_is_torchs_on_the_real_frames(layers):
    torch.manual_seed(0)
    norm = layers.BatchNorm(5).double()
    torch.nn.init.normal_(norm.gain)
    torch.nn.init.normal_(norm.bias)
    valid = layers.valid_frames(torch.tensor([7, 3]), 7)
    x = torch.randn(2, 7, 5).double()
    x[~valid] = 1e6
    mean, variance = torch.zeros(5).double(), torch.ones(5).double()
    for training in (True, True, False):
        y = norm.train(training)(x, valid)
        wanted = torch.nn.functional.batch_norm(
            x[valid],
            mean.clone(),
            variance.clone(),
            1 + norm.gain,
            norm.bias,
            training,
            norm.MOMENTUM,
            norm.EPSILON,
        )
        torch.testing.assert_close(y[valid], wanted)
        assert not y[~valid].any()
        if training:
            # AlgoPerf keeps the biased variance, torch the unbiased one.
            mean.lerp_(x[valid].mean(0), 1e-3)
            variance.lerp_(x[valid].var(0, correction=0), 1e-3)
    torch.testing.assert_close(norm.mean, mean)
    torch.testing.assert_close(norm.variance, variance)


def test_the_lstm_reads_every_real_frame(piece, layers):
    torch.manual_seed(0)
    own = piece("librispeech_deepspeech").Recurrent(8, layers.LayerNorm)
    # Frames that the share of the longest must be turned back into exactly.
    for longest in (7, 33, 333):
        lengths = torch.tensor([longest, longest - 1, longest // 3, 1])
        x = torch.randn(4, longest + 2, 8)
        y = own(x, layers.valid_frames(lengths, longest + 2))
        assert y.shape == x.shape
        for i, n in enumerate(lengths):
            real = x[i : i + 1, :n]
            wanted, _ = own.lstm.rnn(own.norm(real, None))
            torch.testing.assert_close(y[i : i + 1, :n], wanted)
            assert not y[i, n:].any()


def test_attention_is_torchs_with_scaled_queries(piece):
    torch.manual_seed(0)
    own = piece("librispeech_conformer").SelfAttention(8, 2, 1.0)
    torch.nn.init.normal_(own.scale)
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    weight, bias = own.project.w.weight.clone(), own.project.w.bias.clone()
    factor = torch.nn.functional.softplus(own.scale) / 0.6931471805599453
    weight[:8] *= factor.repeat(2).unsqueeze(1)
    bias[:8] *= factor.repeat(2)
    other.in_proj_weight.data, other.in_proj_bias.data = weight, bias
    other.out_proj.weight.data = own.output.w.weight
    other.out_proj.bias.data = own.output.w.bias
    x = torch.randn(2, 6, 8)
    valid = torch.arange(6) < torch.tensor([[6], [4]])
    wanted, _ = other(x, x, x, key_padding_mask=~valid, need_weights=False)
    torch.testing.assert_close(own(x, valid), wanted, rtol=1e-5, atol=1e-5)
    plain = own(x, valid) - own.output.w.bias
    own.temperature = 1.6
    torch.testing.assert_close(
        own(x, valid) - own.output.w.bias, 1.6 * plain, rtol=1e-5, atol=1e-5
    )


def test_masks_stay_below_their_limits_and_within_the_utterance(layers):
    torch.manual_seed(0)
    ranges = torch.tensor([100, 40, 3]).repeat(2000)
    limits = 0.2 * ranges
    masks = layers.draw_masks(ranges, limits, 1, 120)
    widths = masks.sum(1).view(-1, 3)
    assert widths.amax(0).tolist() == [19, 7, 0] and widths.amin() == 0
    # Uniform from 0 to 19: mean 9.5, standard error 0.13.
    assert abs(widths[:, 0].float().mean() - 9.5) < 0.6
    assert not (masks & ~layers.valid_frames(ranges, 120)).any()
    runs = masks.int().diff(dim=1, prepend=torch.zeros(6000, 1).int()) == 1
    assert runs.sum(1).max() == 1
    # Both ends are masked at times, as often as the middle is about.
    ends = masks.view(-1, 3, 120)[:, 0]
    assert ends[:, 0].any() and ends[:, 99].any()
    several = layers.draw_masks(ranges, limits, 10, 120).view(-1, 3, 120)
    assert several[:, 0].sum(1).max() > 60


def test_augmentation_is_of_training_alone(layers):
    torch.manual_seed(0)
    augment = layers.SpecAugment(2, 27, 10, 0.05)
    x, lengths = torch.ones(8, 200, 80), torch.full((8,), 200)
    y = augment.train()(x, lengths)
    bands, spans = (y == 0).all(1).sum(1), (y == 0).all(2).sum(1)
    assert 0 < bands.max() <= 52 and 0 < spans.max() <= 90
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(augment.eval()(x, lengths), x)
    none = layers.SpecAugment(0, 27, 0, 0.05).train()
    assert torch.equal(none(x, lengths), x)
