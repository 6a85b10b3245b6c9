"""Laws of the NMF front end."""

import pytest
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization
from torch.testing import assert_close

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.nmf import NMFDictionary, NMFFeatures
from leanbrain.nmf.compression import decibel, identity, log1p, root

RATE = 8000
OPTIONS = {"n_atoms": 6, "sample_rate": RATE, "n_fft": 256}


def speechlike(batch=3, samples=6000, seed=0):
    """Noise whose level and colour move, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, samples, generator=generator)
    time = torch.arange(samples) / RATE
    level = 0.1 + torch.sin(2 * torch.pi * 4 * time).abs()
    smooth = torch.nn.functional.avg_pool1d(noise, 5, 1, 2)
    mix = torch.sigmoid(8 * torch.sin(2 * torch.pi * 7 * time))
    return 0.2 * level * (mix * noise + (1 - mix) * 2 * smooth)


def trained(**options):
    features = NMFFeatures(**{**OPTIONS, **options})
    wavs = speechlike(seed=7)
    for _ in range(5):
        features.dictionary.partial_fit(features.spectrum(wavs))
    return features


def test_shape_is_that_of_fbank():
    wavs = speechlike()
    fbank = Fbank(sample_rate=RATE, n_fft=256, n_mels=6)
    assert trained()(wavs).shape == fbank(wavs).shape


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 6),
        ({"deltas": True}, 18),
        ({"context": True, "left_frames": 2, "right_frames": 1}, 24),
        ({"deltas": True, "context": True}, 198),
        ({"keep": ["all"]}, 6),
        ({"tuned_atoms": 2}, 6),
    ],
)
def test_number_of_outputs(options, width):
    features = trained(**options)
    assert features.n_out == width
    assert features(speechlike()).shape[-1] == width


@pytest.mark.parametrize("loss", ["kl", "frobenius", "is"])
def test_activations_explain_the_spectrum(loss):
    power = 2.0 if loss == "is" else 1.0
    features = trained(
        loss=loss, compression=identity, n_atoms=40, spectrum_power=power
    )
    wavs = speechlike()
    V = features.spectrum(wavs)
    model = features(wavs) @ features.atoms.T
    assert bool((features(wavs) >= 0).all())
    flat = V.mean(2, keepdim=True).expand_as(V)
    assert (V - model).norm() < 0.8 * (V - flat).norm()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"deltas": True},
        {"context": True},
        {"deltas": True, "context": True, "tuned_atoms": -1},
    ],
)
def test_padded_batch_equals_each_utterance_alone(options):
    features = trained(**options)
    wavs = speechlike(batch=4)
    samples = [6000, 4000, 2345, 160]
    lengths = torch.tensor(samples) / 6000
    padded = wavs.clone()
    for row, n in zip(padded, samples, strict=True):
        row[n:] = torch.nan
    got = features(padded, lengths)
    assert bool(got.isfinite().all())
    for i, n in enumerate(samples):
        alone = features(wavs[i : i + 1, :n])
        frames = 1 + n // 80
        assert_close(got[i, :frames], alone[0], rtol=1e-5, atol=1e-5)
        assert bool((got[i, frames:] == 0).all())


def test_padding_is_zero():
    features = trained(compression=decibel)
    got = features(speechlike(), torch.tensor([1.0, 0.5, 0.0]))
    assert bool((got[1, 40:] == 0).all()) and bool((got[2] == 0).all())
    assert bool((got[1, :30] != 0).any())


@pytest.mark.parametrize("tuned", [0, 3])
def test_chunks_of_a_stream_equal_the_whole(tuned):
    features = trained(tuned_atoms=tuned)
    V = features.spectrum(speechlike(batch=2))
    whole = features.forward_spec(V)
    chunks = [features.forward_spec(part) for part in V.split(7, dim=1)]
    assert_close(torch.cat(chunks, 1), whole, rtol=1e-4, atol=1e-6)


def test_same_filter_properties_as_fbank():
    fbank = Fbank(sample_rate=RATE, n_fft=256)
    features = trained()
    assert features.get_filter_properties() == fbank.get_filter_properties()


def test_gain_does_not_change_uncompressed_shape():
    features = trained(compression=identity)
    wavs = speechlike()
    assert_close(features(4 * wavs), 4 * features(wavs), rtol=1e-4, atol=1e-5)


def test_autocast_changes_nothing():
    features = trained(tuned_atoms=2)
    wavs = speechlike()
    plain = features(wavs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = features(wavs)
    assert inside.dtype == torch.float32
    assert_close(inside, plain, rtol=0, atol=0)


def test_silence_is_finite():
    features = trained(tuned_atoms=-1)
    got = features(torch.zeros(2, 800))
    got.sum().backward()
    assert bool(got.isfinite().all())
    assert bool(features.log_shift.grad.isfinite().all())


def test_only_tuned_atoms_get_gradients():
    features = trained(tuned_atoms=2)
    names = [name for name, _ in features.named_parameters()]
    assert names == ["log_shift"] and features.log_shift.shape == (129, 2)
    features(speechlike()).sum().backward()
    assert bool((features.log_shift.grad != 0).any())
    assert not list(trained().parameters())


def test_tuning_starts_at_the_dictionary():
    plain, tuned = trained(), trained(tuned_atoms=-1)
    assert_close(tuned.atoms, plain.atoms, rtol=1e-5, atol=1e-7)


def test_tuned_atoms_stay_a_dictionary_and_learn():
    features = trained(tuned_atoms=3, compression=log1p)
    fixed = features.atoms[:, :3].clone()
    wavs = speechlike()
    target = torch.zeros(3, 76)
    target[:, ::2] = 1.0
    optimizer = torch.optim.Adam(features.parameters(), lr=0.3)
    losses = []
    for _ in range(15):
        score = features(wavs)[..., 3:].mean(-1)
        loss = (score - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    atoms = features.atoms
    assert losses[-1] < losses[0]
    assert bool((atoms >= 0).all())
    assert_close(atoms.sum(0), torch.ones(6))
    assert_close(atoms[:, :3], fixed, rtol=0, atol=0)


def test_gradient_reaches_the_waveform():
    features = trained(tuned_atoms=1)
    wavs = speechlike().requires_grad_()
    features(wavs).sum().backward()
    assert bool(wavs.grad.isfinite().all()) and bool((wavs.grad != 0).any())


def test_state_dict_restores_everything():
    features = trained(tuned_atoms=2)
    with torch.no_grad():
        features.log_shift.add_(torch.rand(129, 2))
    other = NMFFeatures(**OPTIONS, tuned_atoms=2)
    other.load_state_dict(features.state_dict())
    wavs = speechlike()
    assert_close(other(wavs), features(wavs), rtol=0, atol=0)


def test_kept_blocks_explain_the_others_away():
    dictionary = NMFDictionary(129, blocks={"speech": 4, "noise": 2})
    features = NMFFeatures(
        sample_rate=RATE, n_fft=256, dictionary=dictionary, keep=["noise"]
    )
    whole = NMFFeatures(sample_rate=RATE, n_fft=256, dictionary=dictionary)
    V = features.spectrum(speechlike())
    dictionary.partial_fit(V, block="speech")
    dictionary.partial_fit(V, block="noise")
    assert_close(
        features.forward_spec(V), whole.forward_spec(V)[..., 4:], atol=0, rtol=0
    )


def test_normaliser_of_speechbrain_takes_them():
    features = trained()
    lengths = torch.tensor([1.0, 0.7, 0.2])
    normalize = InputNormalization(norm_type="sentence")
    got = normalize(features(speechlike(), lengths), lengths)
    assert bool(got.isfinite().all())


def test_yaml_swaps_it_for_fbank():
    text = """
    compute_features: !new:leanbrain.nmf.NMFFeatures
        n_atoms: 5
        sample_rate: 8000
        n_fft: 256
        compression: !name:leanbrain.nmf.compression.root
            exponent: 0.25
    """
    features = load_yaml(text)["compute_features"]
    features.dictionary.partial_fit(features.spectrum(speechlike()))
    assert features(speechlike()).shape == (3, 76, 5)


@pytest.mark.parametrize("compress", [log1p, decibel, root, identity])
def test_compressions_are_monotone_and_finite(compress):
    H = torch.logspace(-8, 3, 200)
    low = compress(torch.zeros(1))
    got = torch.cat([low, compress(H)])
    assert bool(got.isfinite().all())
    assert bool((got.diff() >= 0).all()) and got[-1] > got[0]


@pytest.mark.parametrize("compress", [decibel, root])
def test_compressions_have_a_finite_slope_at_zero(compress):
    H = torch.zeros(1, requires_grad=True)
    compress(H).sum().backward()
    assert bool(H.grad.isfinite().all())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_fft": 0}, "`n_fft` must be an integer >= 2, got 0"),
        ({"loss": "l2"}, "`loss` must be one of kl, frobenius, is"),
        ({"solver": "sgd"}, "`solver` must be one of auto, mu"),
        ({"tuned_atoms": 7}, "`tuned_atoms` must be at most 6.* got 7"),
        ({"tuned_atoms": -2}, "`tuned_atoms` must be an integer >= -1"),
        ({"unrolled": 0}, "`unrolled` must be an integer >= 1, got 0"),
        ({"compression": "log"}, "`compression` must be callable"),
        ({"keep": ["speech"]}, "`keep` must be one of all; got 'speech'"),
        ({"keep": "all"}, "`keep` must be a list"),
        ({"dictionary": NMFDictionary(5)}, "129 bins, got 5"),
        (
            {"dictionary": NMFDictionary(129, loss="is")},
            "dictionary, 'is', got",
        ),
        ({"spectrum_power": 0}, "`spectrum_power` must be a finite number > 0"),
        ({"max_iter": 0}, "`max_iter` must be an integer >= 1, got 0"),
    ],
)
def test_wrong_settings_are_one_sentence(options, match):
    with pytest.raises(UserError, match=match):
        NMFFeatures(**{**OPTIONS, **options})


def test_an_untrained_dictionary_is_refused():
    with pytest.raises(UserError, match="must be trained before features"):
        NMFFeatures(**OPTIONS)(speechlike())


@pytest.mark.parametrize(
    ("wavs", "match"),
    [
        (torch.zeros(800), r"`wavs` must be a tensor \[B, time\], got \(800"),
        (
            torch.zeros(2, 800, dtype=torch.int16),
            "`wavs` must be of a floating",
        ),
        (torch.full((1, 800), torch.nan), "`wavs` must be finite"),
    ],
)
def test_wrong_waveforms_are_one_sentence(wavs, match):
    with pytest.raises(UserError, match=match):
        trained()(wavs)


def test_wrong_spectra_are_one_sentence():
    with pytest.raises(UserError, match=r"`V` must be a batch \[B, T, 129\]"):
        trained().forward_spec(torch.zeros(2, 5, 128))


def test_no_utterances_give_no_features():
    assert trained(tuned_atoms=-1)(torch.zeros(0, 800)).shape == (0, 11, 6)


def test_float64_waveforms_are_taken():
    features = trained(tuned_atoms=1)
    wavs = speechlike()
    assert_close(features(wavs.double()), features(wavs))


def test_sparsity_reaches_tuned_atoms():
    common = {"compression": identity, "loss": "frobenius"}
    plain, sparse = (trained(tuned_atoms=-1, l1=l1, **common) for l1 in (0, 2))
    fixed = trained(l1=2, **common)
    wavs = speechlike()
    assert sparse(wavs).sum() < 0.8 * plain(wavs).sum()
    assert_close(sparse(wavs).sum(), fixed(wavs).sum(), rtol=0.02, atol=0)


def test_digital_silence_is_not_learnt():
    features = NMFFeatures(**OPTIONS)
    with pytest.raises(UserError, match="not silent"):
        features.dictionary.partial_fit(features.spectrum(torch.zeros(2, 800)))


def test_a_tuned_front_end_follows_a_dictionary_that_is_loaded():
    plain = trained()
    tuned = NMFFeatures(**OPTIONS, tuned_atoms=-1)
    tuned.dictionary.load_state_dict(plain.dictionary.state_dict())
    assert_close(tuned.atoms, plain.atoms, rtol=1e-5, atol=1e-7)


def test_a_tuned_front_end_loads_the_state_of_a_fixed_one():
    plain = trained()
    tuned = trained(tuned_atoms=-1)
    with torch.no_grad():
        tuned.log_shift.add_(1.0).mul_(torch.rand(129, 6))
    tuned.load_state_dict(plain.state_dict())
    assert_close(tuned.atoms, plain.atoms, rtol=1e-5, atol=1e-7)


def test_wrong_lengths_are_refused():
    with pytest.raises(UserError, match=r"`lengths` must be relative.*got 2"):
        trained()(speechlike(), torch.tensor([1.0, 2.0, 0.5]))
