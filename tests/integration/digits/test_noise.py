"""The noises of the recipe's test: their levels, spectra and seeds."""

import pytest
import torch

from leanbrain.checks import UserError

RATE = 8000


def test_snr_is_as_defined(piece):
    """Silence around a word changes neither its level nor the noise's."""
    noise = piece("noise")
    generator = torch.Generator().manual_seed(0)
    word = torch.sin(torch.arange(3200) * 0.3)
    quiet = torch.zeros(1600)
    padded = torch.cat([quiet, word, quiet])
    rms = word.square().mean().sqrt()
    level = float(noise.active_rms(padded, RATE))
    assert level == pytest.approx(float(rms), rel=1e-3)
    for make in (noise.white, noise.pink):
        sound = make(len(padded), generator)
        for snr_db in (20.0, 0.0, -5.0):
            added = noise.add_noise(padded, sound, snr_db, RATE) - padded
            got = 20 * torch.log10(rms / added.square().mean().sqrt())
            assert float(got) == pytest.approx(snr_db, abs=0.02)
    silent = noise.add_noise(quiet, sound[:1600], 0.0, RATE)
    assert torch.equal(silent, quiet)


def test_pink_falls_three_decibels_per_octave_and_white_does_not(piece):
    noise = piece("noise")
    generator = torch.Generator().manual_seed(0)
    for make, slope in ((noise.white, 0.0), (noise.pink, -3.01)):
        power = torch.fft.rfft(make(2**16, generator)).abs().square()
        octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(8, 15)]
        levels = 10 * torch.stack(octaves).log10()
        assert float(levels.diff().mean()) == pytest.approx(slope, abs=0.15)


@pytest.fixture
def noises(piece):
    """Speakers whose words are constants, so that each is recognised."""
    noise = piece("noise")
    rows = {
        f"{speaker}{i}": {"wav": f"{speaker}{i}", "spk_id": speaker}
        for speaker in "abc"
        for i in range(3)
    }
    asked = []

    def load(path):
        asked.append(path)
        generator = torch.Generator().manual_seed(ord(path[0]))
        return torch.randn(50 + 10 * int(path[1]), generator=generator)

    made = noise.Noises(
        ["white", "babble"], [20, 0], noise.Babble(rows, load), RATE
    )
    return made, asked


def test_noise_follows_from_id_and_condition_alone(noises):
    made, asked = noises
    assert list(made.conditions) == [
        "clean", "white_20", "white_0", "babble_20", "babble_0"
    ]  # fmt: skip
    speech = torch.sin(torch.arange(800) * 0.3)
    state = torch.get_rng_state()
    seen = []
    for condition in made.conditions:
        one = made.mix(condition, "x", "a", speech)
        torch.rand(3)
        assert torch.equal(one, made.mix(condition, "x", "a", speech))
        if condition == "clean":
            assert torch.equal(one, speech)
        else:
            assert not torch.equal(one, made.mix(condition, "y", "a", speech))
        seen.append(one - speech)
    torch.set_rng_state(state)
    for a in range(1, len(seen)):
        for b in range(a):
            assert not torch.allclose(seen[a], seen[b], atol=1e-3)


def test_babble_is_of_other_speakers(noises):
    made, asked = noises
    for name in "pqrstuvw":
        made.mix("babble_0", name, "a", torch.ones(400))
    assert {path[0] for path in asked} == {"b", "c"}
    made.mix("babble_0", "p", "stranger", torch.ones(4000))
    assert {path[0] for path in asked} == {"a", "b", "c"}


def test_noises_leave_the_global_generator_alone(noises):
    made, _ = noises
    state = torch.get_rng_state()
    for condition in made.conditions:
        made.mix(condition, "x", "a", torch.ones(400))
    assert torch.equal(torch.get_rng_state(), state)


def test_babble_without_other_speakers(piece):
    noise = piece("noise")
    rows = {"a": {"wav": "a", "spk_id": "ann"}}
    babble = noise.Babble(rows, lambda path: torch.ones(9))
    with pytest.raises(UserError, match="other than .* got only 'ann'"):
        babble(10, torch.Generator(), "ann")
