"""Laws of denoising and separation of waveforms."""

from types import SimpleNamespace

import pytest
import torch
from speechbrain.processing.features import ISTFT, STFT

from leanbrain.checks import UserError
from leanbrain.nmf.enhance import NMFEnhance

FRAMING = {"sample_rate": 8000, "n_fft": 256, "hop_length": 8}
FRAMING["win_length"] = 25


def atoms(K=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    W = torch.rand(129, K, generator=generator) ** 4
    return W / W.sum(0)


def blocks(**sizes):
    """A stand-in for a trained dictionary with named blocks."""
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = slice(start, start + size)
        start += size
    return SimpleNamespace(atoms=atoms(start), blocks=found)


def waves(batch=3, time=3001, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, generator=generator, dtype=dtype)


DICTIONARIES = {
    "one": (blocks(speech=6), 4, {"speech", "noise"}),
    "two, no noise": (blocks(a=4, b=3), 0, {"a", "b"}),
    "three": (blocks(a=2, b=3, c=1), 2, {"a", "b", "c", "noise"}),
    "own noise": (blocks(speech=4, noise=2), 3, {"speech", "noise"}),
}


@pytest.mark.parametrize("time", [1, 63, 64, 65, 127, 1000, 3001])
@pytest.mark.parametrize("name", DICTIONARIES)
def test_sources_add_up_to_the_mixture(name, time):
    dictionary, noise_atoms, names = DICTIONARIES[name]
    enhance = NMFEnhance(
        dictionary, noise_atoms=noise_atoms, max_iter=10, **FRAMING
    )
    wavs = waves(2, time)
    parts = enhance.separate(wavs)
    assert set(parts) == names
    torch.testing.assert_close(sum(parts.values()), wavs, rtol=0, atol=1e-5)


def test_transform_and_inverse_are_those_of_speechbrain():
    enhance = NMFEnhance(atoms(), **FRAMING)
    wavs = waves()
    ours = enhance.framing.analyse(wavs)
    theirs = STFT(**FRAMING)(wavs)
    torch.testing.assert_close(torch.view_as_real(ours), theirs)
    mask = torch.rand(ours.shape, generator=torch.Generator().manual_seed(0))
    counts = torch.full((3,), ours.shape[1])
    got = enhance.framing.synthesise(ours * mask, counts, wavs)
    inverse = ISTFT(**FRAMING)
    wanted = inverse(theirs * mask.unsqueeze(-1), sig_length=3001)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("noise_atoms", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padded_batch_equals_each_alone(dtype, noise_atoms):
    enhance = NMFEnhance(
        blocks(a=4, b=3),
        noise_atoms=noise_atoms,
        sources=["a"],
        max_iter=30,
        **FRAMING,
    )
    time = 3001
    counts = [3001, 1234, 64, 1, 0]
    wavs = waves(5, time, dtype) / 4
    lengths = torch.tensor(counts) / time
    for i, count in enumerate(counts):
        wavs[i, count:] = torch.nan
    got = enhance(wavs, lengths)
    assert got.dtype == dtype
    for i, count in enumerate(counts):
        alone = enhance(wavs[i : i + 1, :count])
        torch.testing.assert_close(got[i, :count], alone[0], rtol=0, atol=1e-6)
        assert bool((got[i, count:] == 0).all())


def test_silence_and_nothing_stay():
    enhance = NMFEnhance(atoms(), **FRAMING)
    for shape in ((2, 1000), (2, 0), (0, 1000), (1, 1)):
        found = enhance(torch.zeros(shape))
        assert found.shape == shape
        assert bool((found == 0).all())


def test_loudness_only_scales():
    enhance = NMFEnhance(atoms(), **FRAMING)
    wavs = waves(1)
    torch.testing.assert_close(
        enhance(wavs * 2.0**-9) * 2.0**9, enhance(wavs), rtol=0, atol=1e-6
    )


def tones(low, high, count=3000):
    """A sound whose spectrum is between two frequencies, gated in time."""
    noise = waves(1, count, seed=low)
    spectrum = torch.fft.rfft(noise)
    hertz = torch.linspace(0, 4000, spectrum.shape[1])
    spectrum = spectrum * ((hertz >= low) & (hertz < high))
    return torch.fft.irfft(spectrum, count)


def test_separates_what_does_not_overlap():
    a, b = tones(300, 1500), tones(2000, 3500)
    probe = NMFEnhance(atoms(), **FRAMING)
    W = torch.cat(
        [probe.framing.analyse(x)[0].abs()[::7].T for x in (a, b)], dim=1
    )
    half = W.shape[1] // 2
    named = {"a": slice(0, half), "b": slice(half, 2 * half)}
    dictionary = SimpleNamespace(atoms=W, blocks=named)
    enhance = NMFEnhance(dictionary, noise_atoms=0, **FRAMING)
    parts = enhance.separate(a + b)
    for name, wanted in (("a", a), ("b", b)):
        error = (parts[name] - wanted).square().sum() / wanted.square().sum()
        assert error < 0.01


def test_learns_the_noise_of_each_utterance():
    # Speech in one band, every second half; other noise in each utterance.
    speech = tones(300, 1500) * (torch.arange(3000) > 1500)
    W = NMFEnhance(atoms(), **FRAMING).framing.analyse(speech)[0, 30:].abs().T
    noise = torch.cat([tones(1800, 2600), tones(2700, 3600)])
    enhance = NMFEnhance(W + 1e-6, noise_atoms=2, **FRAMING)
    found = enhance(speech + noise)
    error = (found - speech).square().mean(1) / noise.square().mean(1)
    assert bool((error < 0.02).all())


def test_repeats_and_leaves_the_global_generator_alone():
    wavs = waves()
    before = torch.get_rng_state()
    first, second, other = (
        NMFEnhance(atoms(), seed=seed, **FRAMING)(wavs) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second)
    assert not torch.allclose(first, other, atol=1e-5)


def test_autocast_and_half_precision_change_nothing():
    enhance = NMFEnhance(atoms(), **FRAMING)
    wavs = waves()
    plain = enhance(wavs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(enhance(wavs), plain)
    assert enhance(wavs.bfloat16()).dtype == torch.float32


def test_the_dictionary_is_saved_and_can_go_on_learning():
    enhance = NMFEnhance(atoms(seed=0), **FRAMING)
    other = NMFEnhance(atoms(seed=5), **FRAMING)
    other.load_state_dict(enhance.state_dict())
    assert torch.equal(enhance(waves()), other(waves()))
    shared = blocks(speech=6)
    follows = NMFEnhance(shared, **FRAMING)
    shared.atoms = atoms(seed=5)
    assert torch.equal(follows.atoms, shared.atoms)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dictionary": atoms()[:-1]}, "`dictionary` must have n_fft"),
        ({"dictionary": -atoms()}, "`dictionary` must be finite and >= 0"),
        ({"dictionary": atoms() * 0}, "`dictionary` must have no column of"),
        ({"dictionary": "speech"}, "`dictionary` must be a tensor"),
        ({"noise_atoms": -1}, "`noise_atoms` must be an integer >= 0"),
        ({"hop_length": 20}, "`hop_length` must be at least"),
        ({"win_length": 60}, "`win_length` must be 2 to n_fft"),
        ({"loss": "kll"}, "`loss` must be one of"),
        ({"sources": ["spech"]}, "`sources` must be one of speech"),
        ({"sources": "speech"}, "`sources` must be a list"),
        ({"quiet": 0}, "`quiet` must be in"),
        ({"mask_power": 0}, "`mask_power` must be a finite"),
        ({"dictionary": blocks(noise=3)}, "must have a block that is not"),
    ],
)
def test_wrong_settings_are_said(change, match):
    settings = {"dictionary": atoms(), **FRAMING, **change}
    with pytest.raises(UserError, match=match):
        NMFEnhance(**settings)


def test_blocks_must_hold_every_atom_once():
    dictionary = blocks(a=3, b=3)
    dictionary.blocks["b"] = slice(2, 6)
    with pytest.raises(UserError, match="every atom in exactly one block"):
        NMFEnhance(dictionary, **FRAMING)


@pytest.mark.parametrize(
    ("wavs", "lengths", "match"),
    [
        (waves()[0], None, "`wavs` must be a tensor"),
        (waves().long(), None, "`wavs` must be of a floating type"),
        (waves() * torch.nan, None, "`wavs` must be finite"),
        (waves(), torch.ones(2), "`lengths` must be of shape"),
        (waves(), torch.tensor([1.0, 1.0, 2.0]), "`lengths` must be relative"),
    ],
)
def test_wrong_input_is_said(wavs, lengths, match):
    with pytest.raises(UserError, match=match):
        NMFEnhance(atoms(), **FRAMING)(wavs, lengths)


def test_an_untrained_dictionary_is_said():
    dictionary = blocks(speech=3)
    dictionary.is_trained = False
    with pytest.raises(UserError, match="must be trained before"):
        NMFEnhance(dictionary, **FRAMING)(waves())


def test_nothing_to_remove_is_said():
    enhance = NMFEnhance(blocks(a=2, b=2), noise_atoms=0, **FRAMING)
    with pytest.raises(UserError, match="nothing would be removed"):
        enhance(waves())
