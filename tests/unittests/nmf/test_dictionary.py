"""A mini-batch of all data is one plain update; blocks keep to themselves."""

import math

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.nmf import encode
from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.solvers.base import EPS

BINS, ATOMS = 17, 4
LOSSES = ("kl", "frobenius", "is")


def spectra(items=3, frames=30, rank=5, seed=0, dtype=torch.float64):
    """Products of sparse factors, [B, T, F]."""
    g = torch.Generator().manual_seed(seed)
    H = torch.rand(items, frames, rank, generator=g, dtype=dtype).pow(4)
    W = torch.rand(rank, BINS, generator=g, dtype=dtype).pow(3)
    return H @ W + 1e-3


def trained(loss="kl", steps=1, V=None, **options):
    dictionary = NMFDictionary(BINS, ATOMS, loss=loss, **options).double()
    for _ in range(steps):
        dictionary.partial_fit(spectra() if V is None else V)
    return dictionary


def plain_update(V, W, H, loss):
    """The update of W as it is written in the papers; V [F, T]."""
    P = W @ H
    if loss == "kl":
        W = W * ((V / P) @ H.T) / H.sum(1)
    elif loss == "is":
        W = W * (((V / P**2) @ H.T) / ((1 / P) @ H.T)).sqrt()
    else:
        A, B = H @ H.T, V @ H.T
        W = W.clone()
        for _ in range(3):
            for k in range(W.shape[1]):
                W[:, k] += (B[:, k] - W @ A[:, k]) / A[k, k]
                W[:, k].clamp_(min=EPS)
    return W / W.sum(0)


@pytest.mark.parametrize("loss", LOSSES)
def test_all_data_at_once_without_memory_is_the_plain_update(loss):
    dictionary = trained(loss, steps=2, forgetting=0.0)
    V = spectra(items=1)
    V = V / V.sum() * V.shape[1]
    W = dictionary.atoms.clone()
    H, _ = encode(
        V[0].T, W, loss=loss, tol=0, max_iter=dictionary.problem.max_iter
    )
    dictionary.partial_fit(V)
    wanted = plain_update(V[0].T, W, H, loss)
    torch.testing.assert_close(dictionary.atoms, wanted, rtol=1e-9, atol=1e-9)
    assert (dictionary.atoms - W).abs().max() > 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_the_divergence_of_one_batch_falls_at_every_step(loss):
    dictionary = NMFDictionary(
        BINS, ATOMS, loss=loss, forgetting=0.0, max_iter=60
    ).double()
    V = spectra()
    found = [dictionary.partial_fit(V) for _ in range(12)]
    assert all(
        b <= a * (1 + 1e-9) for a, b in zip(found, found[1:], strict=False)
    )
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_divergence_is_that_of_the_definition(loss):
    dictionary = trained(loss)
    V = spectra(items=1)
    V = V / V.sum() * V.shape[1]
    H, _ = encode(
        V[0].T,
        dictionary.atoms,
        loss=loss,
        tol=0,
        max_iter=dictionary.problem.max_iter,
    )
    X, P = V[0].T, dictionary.atoms @ H
    terms = {
        "kl": X * (X / P).log() - X + P,
        "frobenius": (X - P) ** 2 / 2,
        "is": X / P - (X / P).log() - 1,
    }[loss]
    wanted = float(terms.sum()) / X.shape[1]
    assert dictionary.divergence(V) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_atoms_are_positive_and_sum_to_one(loss):
    atoms = trained(loss, steps=25).atoms
    assert bool((atoms > 0).all())
    torch.testing.assert_close(atoms.sum(0), torch.ones_like(atoms[0]))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_hidden_dictionary_is_found(loss):
    """Disjoint atoms, of which every frame uses one."""
    W = torch.zeros(ATOMS, 16, dtype=torch.float64)
    for k in range(ATOMS):
        W[k, 4 * k : 4 * k + 4] = torch.tensor([1.0, 3.0, 2.0, 1.0]) / 7
    W = (W + 1e-6) / (W + 1e-6).sum(1, keepdim=True)
    g = torch.Generator().manual_seed(1)
    dictionary = NMFDictionary(16, ATOMS, loss=loss, max_iter=50).double()
    for _ in range(80):
        H = torch.rand(2, 40, ATOMS, generator=g, dtype=torch.float64)
        dictionary.partial_fit(H.pow(4) @ W)
    match = torch.cdist(dictionary.atoms.T, W, p=1).min(0).values
    assert match.max() < 0.05


def test_a_long_batch_is_learnt_in_parts():
    """Of two utterances as long as a part: as one after the other."""
    one, two = (trained(frames_per_update=n) for n in (30, 1000))
    V = spectra(items=2, seed=3)
    two.load_state_dict(one.state_dict())
    found = one.partial_fit(V)
    wanted = (two.partial_fit(V[:1]) + two.partial_fit(V[1:])) / 2
    assert found == pytest.approx(wanted, rel=1e-12)
    assert torch.equal(one.atoms, two.atoms)
    assert torch.equal(one.updates, two.updates)


def test_loudness_of_a_recording_does_not_matter():
    V = spectra()
    gain = torch.tensor([1e-3, 1.0, 40.0], dtype=torch.float64)
    one, two = (
        trained(V=V, steps=5),
        trained(V=V * gain[:, None, None], steps=5),
    )
    torch.testing.assert_close(one.atoms, two.atoms, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_padding_and_silence_change_nothing(loss):
    V = spectra(items=2)
    padded = torch.full((3, 50, BINS), math.nan, dtype=V.dtype)
    padded[:2, :30] = V
    padded[2, :10] = 0.0
    lengths = torch.tensor([0.6, 0.6, 0.2])
    one, two = (NMFDictionary(BINS, 4, loss=loss).double() for _ in range(2))
    for _ in range(3):
        first = one.partial_fit(V)
        assert two.partial_fit(padded, lengths) == pytest.approx(first)
    torch.testing.assert_close(one.atoms, two.atoms)


def test_a_block_leaves_the_others_as_they_are():
    dictionary = NMFDictionary(BINS, blocks={"a": 3, "b": 2}).double()
    assert dictionary.blocks == {"a": slice(0, 3), "b": slice(3, 5)}
    dictionary.partial_fit(spectra(seed=1), block="a")
    assert not dictionary.is_trained
    before = dictionary.snapshot()
    dictionary.partial_fit(spectra(seed=2), block="b")
    assert dictionary.is_trained
    assert torch.equal(before["atoms"][:, :3], dictionary.atoms[:, :3])
    assert torch.equal(before["first"][:, :3], dictionary.first[:, :3])
    assert not torch.equal(before["atoms"][:, 3:], dictionary.atoms[:, 3:])


@pytest.mark.parametrize("loss", LOSSES)
def test_blocks_are_dictionaries_side_by_side(loss):
    parts = {
        name: trained(loss, 3, V=spectra(seed=seed), seed=seed)
        for name, seed in (("speech", 1), ("noise", 2))
    }
    whole = NMFDictionary.concatenate(parts)
    assert whole.is_trained
    assert whole.atoms.dtype == torch.float64
    for name, part in parts.items():
        columns = whole.blocks[name]
        assert torch.equal(whole.atoms[:, columns], part.atoms)
        # Training goes on as if they were apart.
        V = spectra(seed=7)
        whole.partial_fit(V, block=name)
        part.partial_fit(V)
        torch.testing.assert_close(whole.atoms[:, columns], part.atoms)


def test_concatenate_wants_one_kind_of_dictionary():
    with pytest.raises(UserError, match="of one loss and 17 bins, got 'is'"):
        NMFDictionary.concatenate({"a": trained(), "b": trained("is")})
    with pytest.raises(UserError, match=r"at least one NMFDictionary, got {}"):
        NMFDictionary.concatenate({})


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    one, two, three = trained(steps=12), trained(steps=12), trained(seed=1)
    assert torch.equal(one.atoms, two.atoms)
    assert not torch.equal(trained().atoms, three.atoms)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loss", ["kl", "frobenius"])
def test_a_dead_atom_comes_back_where_frames_are_badly_explained(loss):
    dictionary = trained(loss, steps=9, dead_below=0.05)
    odd = torch.full((1, 30, BINS), 1e-3, dtype=torch.float64)
    odd[..., -1] = 1.0
    # Make one atom useless: it lies where no spectrum has anything.
    for name, value in (("first", 0.0), ("second", 0.0), ("use", 0.0)):
        changed = getattr(dictionary, name).clone()
        changed[..., 2] = value
        if name == "second" and changed.shape[0] == ATOMS:
            changed[2] = value
        setattr(dictionary, name, changed)
    dictionary.forgetting = 1 - 1e-12
    lost = dictionary.atoms.clone()
    lost[:, 2] = EPS
    lost[0, 2] = 1.0
    dictionary.atoms = lost
    V = torch.cat([spectra(items=1).index_fill(2, torch.tensor([0]), 0), odd])
    assert dictionary.dead_atoms() == [2]
    dictionary.partial_fit(V)
    assert dictionary.dead_atoms() == []
    assert dictionary.atoms[-1, 2] > 0.3


def test_no_dead_atom_is_replaced_when_that_is_off():
    dictionary = trained(dead_below=0.0)
    dictionary.use = torch.zeros_like(dictionary.use)
    assert dictionary.dead_atoms() == []


def test_use_is_the_share_of_the_activations():
    share = trained(steps=4).share
    assert float(share.sum()) == pytest.approx(1.0)
    assert bool((NMFDictionary(BINS, 4).share == 0).all())


def test_state_dict_carries_everything():
    one = trained(steps=13)
    two = NMFDictionary(BINS, ATOMS).double()
    two.load_state_dict(one.state_dict())
    assert two.is_trained
    for seed in range(12):
        V = spectra(seed=seed)
        assert one.partial_fit(V) == two.partial_fit(V)
    assert torch.equal(one.atoms, two.atoms)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda d: d.partial_fit(torch.ones(1, 4, 16)), "17 frequency bins"),
        (lambda d: d.partial_fit(torch.ones(4, 17)), r"batch \[B, T, F\]"),
        (lambda d: d.partial_fit(torch.zeros(1, 4, 17)), "not silent"),
        (lambda d: d.partial_fit(torch.ones(0, 4, 17)), "not silent"),
        (lambda d: d.partial_fit(-torch.ones(1, 4, 17)), "must be >= 0"),
        (
            lambda d: d.partial_fit(torch.ones(1, 4, 17), block="speec_"),
            "`block` must be one of all; got 'speec_'",
        ),
        (lambda d: NMFDictionary(0), "`n_bins` must be an integer >= 1"),
        (lambda d: NMFDictionary(17, 0), "`n_atoms` must be an integer >= 1"),
        (lambda d: NMFDictionary(17, blocks={}), "`blocks` must map"),
        (lambda d: NMFDictionary(17, blocks={"a": 0}), r"`blocks\['a'\]` must"),
        (lambda d: NMFDictionary(17, loss="l1"), "`loss` must be one of"),
        (
            lambda d: NMFDictionary(17, forgetting=1.0),
            r"`forgetting` must be in \[0, 1\), got 1.0",
        ),
        (lambda d: NMFDictionary(17, seed=-1), "`seed` must be an integer"),
    ],
)
def test_errors_are_one_sentence(call, said):
    with pytest.raises(UserError, match=said) as caught:
        call(NMFDictionary(17, 4))
    assert "\n" not in str(caught.value)


def test_fewer_frames_than_atoms():
    dictionary = NMFDictionary(BINS, 20)
    dictionary.partial_fit(spectra(items=1, frames=3).float())
    assert bool(torch.isfinite(dictionary.atoms).all())
