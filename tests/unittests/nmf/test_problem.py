"""Where a weight of sum(H) is refused, and why."""

from functools import partial

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.nmf import NMFEnhance, NMFFeatures, encode, nmf
from leanbrain.nmf.encoding import encode_rows
from leanbrain.nmf.losses import LOSSES
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.unrolled import encode_unrolled

V = torch.rand(9, 5, generator=torch.Generator().manual_seed(0))
W = torch.rand(9, 3, generator=torch.Generator().manual_seed(1))
FRAMING = {"sample_rate": 8000, "n_fft": 16, "win_length": 2, "hop_length": 1}
# Everything that takes the weight, as it is called.
DOORS = {
    "nmf": partial(nmf, V, 2),
    "encode": partial(encode, V, W),
    "encode_unrolled": partial(encode_unrolled, V.T, W, 2),
    "NMFFeatures": partial(NMFFeatures, 3, **FRAMING),
    "tuned": partial(NMFFeatures, 3, **FRAMING, tuned_atoms=-1),
    "NMFEnhance": partial(NMFEnhance, W, **FRAMING),
    "sources": partial(NMFEnhance, W, **FRAMING, noise_atoms=0),
    "YAML": lambda loss="kl", l1=0.0: load_yaml(
        f"front_end: !new:leanbrain.nmf.NMFFeatures\n    loss: {loss}\n"
        f"    l1: {l1}\n"
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_kl_refuses_l1_in_one_sentence(door):
    match = "^`l1` must be 0 with loss 'kl', where it only rescales .*got 0.1.$"
    for loss in ({}, {"loss": "kl"}):
        with pytest.raises(UserError, match=match):
            DOORS[door](l1=0.1, **loss)
        DOORS[door](l1=0.0, **loss)


@pytest.mark.parametrize("door", sorted({*DOORS} - {"NMFEnhance"}))
@pytest.mark.parametrize("loss", sorted({*LOSSES} - {"kl"}))
def test_the_others_take_it(door, loss):
    DOORS[door](l1=0.1, loss=loss)


def test_noise_atoms_have_a_weight_of_their_own():
    match = "`l1` must be 0 with `noise_atoms`, beside which `speech_cost`"
    with pytest.raises(UserError, match=match):
        NMFEnhance(W, **FRAMING, loss="frobenius", l1=0.1)
    with pytest.raises(UserError, match="`speech_cost` must be a finite"):
        NMFEnhance(W, **FRAMING, speech_cost=-1.0)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda x: x.name)
def test_what_l1_does(loss):
    """KL: H / (1 + l1). Frobenius: zeros. IS: neither."""
    generator = torch.Generator().manual_seed(0)
    kinds = {"generator": generator, "dtype": torch.float64}
    rows = torch.rand(50, 65, **kinds) ** 3 + 1e-6
    atoms = torch.rand(65, 20, **kinds) ** 4
    atoms = atoms / atoms.sum(0)
    solver = Problem.checked(loss.name, "auto", 9, 0.0, 0.0, 0.0).solver
    weight = 0.2
    free, penalised = (
        encode_rows(rows, atoms, Problem(loss, solver, 1000, 0.0, l1))[0]
        for l1 in (0.0, weight)
    )
    scale = (penalised * free).sum() / free.square().sum()
    rest = (penalised - scale * free).norm() / penalised.norm()
    assert (float(rest) < 1e-4) == loss.l1_rescales
    before, after = (
        float((x < 1e-4 * x.amax(1, keepdim=True)).double().mean())
        for x in (free, penalised)
    )
    if loss.l1_rescales:
        assert float(scale) == pytest.approx(1 / (1 + weight), rel=1e-4)
        assert after == before
    elif loss.name == "frobenius":
        assert after > 1.2 * before
    else:
        assert after <= before
