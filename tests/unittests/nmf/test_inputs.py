"""Packing of padded batches, and a sentence for every wrong argument."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from speechbrain.processing.features import make_padding_mask

from leanbrain.checks import UserError
from leanbrain.nmf import encode, nmf
from leanbrain.nmf.framing import check_wavs
from leanbrain.nmf.inputs import pack, valid_frames

V = torch.ones(3, 5)
BATCH = torch.ones(2, 5, 3)
W = torch.ones(3, 2)
H = torch.ones(2, 5)
NAN, INF = float("nan"), float("inf")


def spoilt(x, value):
    """A copy with one element replaced."""
    x = x.clone()
    x.view(-1)[-1] = value
    return x


BOTH = [
    ({"V": spoilt(V, -1.0)}, "`V` must be >= 0 .*, got -1"),
    ({"V": spoilt(V, NAN)}, "`V` must be finite .*, got NaN"),
    ({"V": spoilt(V, INF)}, "`V` must be finite .*, got infinity"),
    ({"V": spoilt(V, -INF)}, "`V` must be finite .*, got infinity"),
    ({"V": spoilt(BATCH, NAN)}, "`V` must be finite .*, got NaN"),
    ({"V": V[0]}, r"`V` must be a tensor \[F, T\] .*, got \(5,\)"),
    ({"V": BATCH[None]}, r"`V` must be a tensor .*, got \(1, 2, 5, 3\)"),
    ({"V": [[1.0]]}, "`V` must be a tensor .*, got list"),
    ({"V": V.int()}, "`V` must be of a floating type, got torch.int32"),
    ({"V": V[:0]}, r"`V` must have at least one frequency bin, got \(0, 5\)"),
    ({"lengths": torch.ones(2)}, "`lengths` must be None unless .* batch"),
    (
        {"V": BATCH, "lengths": torch.ones(3)},
        r"`lengths` must be of shape \[2\], .* got \(3,\)",
    ),
    (
        {"V": BATCH, "lengths": torch.ones(2, 1)},
        r"`lengths` must be of shape \[2\], .* got \(2, 1\)",
    ),
    (
        {"V": BATCH, "lengths": torch.tensor([1.0, 1.5])},
        r"`lengths` must be relative, each in \[0, 1\], got 1.5",
    ),
    (
        {"V": BATCH, "lengths": torch.tensor([-0.1, 1.0])},
        r"`lengths` must be relative, each in \[0, 1\], got -0.1",
    ),
    (
        {"V": BATCH, "lengths": torch.tensor([NAN, 1.0])},
        r"`lengths` must be relative, each in \[0, 1\], got nan",
    ),
    ({"loss": "k"}, "`loss` must be one of kl, frobenius, is; got 'k'"),
    ({"loss": None}, "`loss` must be one of .*; got None"),
    ({"solver": "mmu"}, r"`solver` must be one of auto, mu, .*nearest: .*mu"),
    (
        {"solver": "hals"},
        "`solver` 'hals' must be used with loss frobenius, got 'kl'",
    ),
    (
        {"solver": "fastmu", "loss": "is"},
        "`solver` 'fastmu' must be used with loss kl or frobenius, got 'is'",
    ),
    ({"max_iter": 0}, "`max_iter` must be an integer >= 1, got 0"),
    ({"max_iter": 1.5}, "`max_iter` must be an integer >= 1, got 1.5"),
    ({"tol": 1}, r"`tol` must be in \[0, 1\), got 1"),
    ({"tol": -1e-9}, r"`tol` must be in \[0, 1\), got -1e-09"),
    ({"tol": NAN}, r"`tol` must be in \[0, 1\), got nan"),
    ({"l1": -1.0}, "`l1` must be a finite number >= 0, got -1.0"),
    ({"l2": INF}, "`l2` must be a finite number >= 0, got inf"),
    ({"l1": "0.1"}, "`l1` must be a finite number >= 0, got '0.1'"),
    ({"l2": 0.1, "loss": "is"}, "`l2` must be 0 with loss 'is'.* got 0.1"),
]
ENCODE = [
    ({"W": W[:2]}, r"`W` must be a tensor of shape \[3, K\], got \(2, 2\)"),
    ({"W": W[0]}, r"`W` must be a tensor of shape \[3, K\], got \(2,\)"),
    ({"W": W[:, :0]}, r"`W` must be .* shape \[3, K\], got \(3, 0\)"),
    ({"W": [[1.0]]}, r"`W` must be .* shape \[3, K\], got list"),
    ({"W": spoilt(W, -1.0)}, "`W` must be finite and >= 0, got negative"),
    ({"W": spoilt(W, NAN)}, "`W` must be finite and >= 0, got non-finite"),
    (
        {"W": torch.tensor([[1.0, 0.0]] * 3)},
        "`W` must have no column of zeros .*, got 1 of them",
    ),
    ({"init": H.T}, r"`init` must be .* shape \[2, 5\], got \(5, 2\)"),
    ({"init": spoilt(H, -1.0)}, "`init` must be finite and >= 0, got neg"),
    ({"init": spoilt(H, INF)}, "`init` must be finite and >= 0, got non"),
    (
        {"V": BATCH, "init": H},
        r"`init` must be .* shape \[2, 5, 2\], got \(2, 5\)",
    ),
]
NMF = [
    ({"rank": 0}, "`rank` must be an integer >= 1, got 0"),
    ({"rank": 2.5}, "`rank` must be an integer >= 1, got 2.5"),
    ({"V": V[:, :0]}, r"`V` must have at least one real frame .*\(3, 0\)"),
    (
        {"V": BATCH, "lengths": torch.zeros(2)},
        r"`V` must have at least one real frame .*\(2, 5, 3\)",
    ),
    ({"init": W}, "`init` must be a pair of W and H, got Tensor"),
    ({"init": (W,)}, "`init` must be a pair of W and H, got tuple"),
    ({"init": (W.T, H)}, r"`init\[0\]` must be .* \[3, 2\], got \(2, 3\)"),
    ({"init": (W, H.T)}, r"`init\[1\]` must be .* \[2, 5\], got \(5, 2\)"),
    (
        {"init": (spoilt(W, NAN), H)},
        r"`init\[0\]` must be finite and >= 0, got non-finite",
    ),
    (
        {"init": (W, spoilt(H, -1.0))},
        r"`init\[1\]` must be finite and >= 0, got negative",
    ),
]


@pytest.mark.parametrize(("wrong", "sentence"), BOTH + ENCODE)
def test_encode_says_what_is_wrong(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        encode(**{"V": V, "W": W, **wrong})


@pytest.mark.parametrize(("wrong", "sentence"), BOTH + NMF)
def test_nmf_says_what_is_wrong(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        nmf(**{"V": V, "rank": 2, **wrong})


@pytest.mark.parametrize("value", [NAN, INF, -3.0])
def test_padding_is_not_looked_at(value):
    padded = BATCH.clone()
    padded[1, 2:] = value
    frames = pack(padded, torch.tensor([1.0, 0.4]))
    assert torch.equal(frames.rows, torch.ones(7, 3))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=4), st.data())
def test_real_frames_are_those_of_speechbrain(lengths, data):
    frames = data.draw(st.integers(1, 400))
    lengths = torch.tensor(lengths, dtype=torch.float32)
    x = torch.zeros(len(lengths), frames)
    wanted = make_padding_mask(x, lengths, length_dim=1)
    got = valid_frames(lengths, len(lengths), frames)
    wanted = wanted.expand_as(x).bool()
    # But where float32 rounds a length up to a further frame.
    part = (lengths.double() * frames) % 1
    rounded = (part < 1e-3) & (part > 0)
    assert bool((got == wanted).all(1)[~rounded].all())
    assert bool((got <= wanted).all())


@pytest.mark.parametrize("frames", [1, 7, 99, 101, 1501, 160_000])
def test_lengths_of_whole_frames_give_these_frames(frames):
    counts = torch.arange(0, frames + 1, max(1, frames // 200))
    for part in counts.split(50):
        valid = valid_frames(part / frames, len(part), frames)
        assert torch.equal(valid.sum(1), part)


@pytest.mark.parametrize("frames", [1, 7, 99, 1501])
def test_a_share_counts_every_frame_and_at_most_one_more(frames):
    """One more where float32 rounds up, as in SpeechBrain; never fewer."""
    real = torch.arange(frames + 1)
    more = valid_frames(real / frames, frames + 1, frames).sum(1) - real
    assert bool(((more == 0) | (more == 1)).all())
    assert int(more[0]) == int(more[-1]) == 0


@pytest.mark.parametrize("lengths", [None, torch.tensor([0.4, 1.0])])
def test_what_is_packed_is_unpacked(lengths, draw):
    batch = draw(2, 5, 3)
    frames = pack(batch, lengths)
    back = frames.unpack(frames.rows)
    assert torch.equal(frames.pack(batch), frames.rows)
    real = torch.ones(2, 5, dtype=torch.bool)
    real[0, 2:] = lengths is None
    assert torch.equal(back, torch.where(real[..., None], batch, 0.0))
    single = pack(batch[0].T)
    assert torch.equal(single.rows, batch[0])
    assert torch.equal(single.unpack(single.rows), batch[0].T)
    for x in (frames.rows, single.rows):
        assert x.is_contiguous() and not x.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(dtype):
    assert pack(V.to(dtype)).rows.dtype == torch.float32
    assert pack(V.double()).rows.dtype == torch.float64


def test_views_and_transposes_are_taken_as_they_look(draw):
    spectra = draw(5, 3)
    wanted, _ = encode(spectra.T.contiguous(), W, max_iter=5)
    got, _ = encode(spectra.T, W.repeat(1, 2)[:, ::2], max_iter=5)
    assert torch.equal(got, wanted)


def sparse(layout):
    """Entries of 1 on the diagonal, in a layout of few entries."""
    dense = torch.eye(6, 8)
    if layout == torch.sparse_coo:
        return dense.to_sparse()
    return dense.to_sparse(layout=layout)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr])
def test_sparse_tensors_are_refused(layout):
    few, dense = sparse(layout), torch.rand(6, 8) + 0.1
    kind = str(layout).removeprefix("torch.")
    for name, run in {
        "V": lambda: nmf(few, 2),
        "init": lambda: nmf(dense, 8, init=(few, torch.rand(8, 8))),
        "W": lambda: encode(dense, few),
        "wavs": lambda: check_wavs(few, None),
    }.items():
        sentence = rf"`.*{name}.*` must be a dense tensor .*{kind}"
        with pytest.raises(UserError, match=sentence):
            run()


def test_tensors_without_values_are_refused():
    meta, dense = torch.rand(6, 8, device="meta"), torch.rand(6, 8) + 0.1
    batch, lengths = torch.rand(2, 8, 6), torch.ones(2, device="meta")
    for name, run in {
        "V": lambda: nmf(meta, 2),
        " V": lambda: encode(meta, dense[:, :2]),
        "W": lambda: encode(dense, meta),
        "init": lambda: nmf(dense, 8, init=(meta, torch.rand(8, 8))),
        "lengths": lambda: encode(batch, dense, lengths=lengths),
        "wavs": lambda: check_wavs(meta, None),
    }.items():
        sentence = rf"`.*{name.strip()}.*` must hold values, got .* meta device"
        with pytest.raises(UserError, match=sentence):
            run()
