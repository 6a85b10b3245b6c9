"""MaskSet against sets of Python and against bool tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, select_targets
from leanbrain.masking.packing import unpack

SHAPES = {"a.weight": [3, 5], "b.weight": [2, 2, 7], "c": [1, 9]}
PATHWAYS = ["en", "fr", "it"]
N = 15 + 28 + 9


def fill(masks, seed=0):
    """Random masks; returns them as pathway -> set of (name, index)."""
    generator = torch.Generator().manual_seed(seed)
    sets = {}
    for i, pathway in enumerate(masks.pathways):
        sets[pathway] = set()
        for name, shape in masks.shapes.items():
            drawn = torch.rand(shape, generator=generator) < 0.3 + 0.2 * i
            masks.set(pathway, name, drawn)
            kept = drawn.flatten().nonzero().flatten().tolist()
            sets[pathway] |= {(name, j) for j in kept}
    return sets


@pytest.fixture
def masks():
    return MaskSet(SHAPES, PATHWAYS)


def as_set(masks, packed):
    """Packed bits by name as a set of (name, index)."""
    return {
        (name, j)
        for name, bits in packed.items()
        for j in unpack(bits, masks.shapes[name])
        .flatten()
        .nonzero()
        .flatten()
        .tolist()
    }


def test_starts_with_everything_kept(masks):
    assert masks.pathways == ("en", "fr", "it")
    assert masks.numel() == N and masks.numel("c") == 9
    for pathway in PATHWAYS:
        assert masks.count(pathway) == N and masks.density(pathway) == 1.0
        for name, shape in SHAPES.items():
            assert masks.get(pathway, name).shape == torch.Size(shape)
            assert masks.get(pathway, name).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_algebra_equals_sets(seed):
    masks = MaskSet(SHAPES, PATHWAYS)
    sets = fill(masks, seed)
    en, fr, it = (sets[p] for p in PATHWAYS)
    assert as_set(masks, masks.union()) == en | fr | it
    assert as_set(masks, masks.union(["en", "it"])) == en | it
    assert as_set(masks, masks.union(["fr"])) == fr
    assert as_set(masks, masks.union([])) == set()
    assert as_set(masks, masks.intersection()) == en & fr & it
    assert as_set(masks, masks.intersection(["fr", "it"])) == fr & it
    assert masks.count("fr") == len(fr)
    assert masks.density("it") == len(it) / N
    assert masks.union_density() == len(en | fr | it) / N
    assert masks.overlap("en", "fr") == len(en & fr) / len(en | fr)
    some = ["a.weight", "c"]
    part = {p: {x for x in s if x[0] in some} for p, s in sets.items()}
    assert masks.count("en", some) == len(part["en"])
    assert masks.density("en", some) == len(part["en"]) / 24
    assert masks.union_density("c") == pytest.approx(
        len({x for s in sets.values() for x in s if x[0] == "c"}) / 9
    )


def test_overlap_matrix(masks):
    fill(masks)
    matrix = masks.overlap_matrix()
    assert matrix.shape == (3, 3) and matrix.dtype == torch.float64
    for i, a in enumerate(PATHWAYS):
        for j, b in enumerate(PATHWAYS):
            assert matrix[i, j] == masks.overlap(a, b)
    assert matrix[0, 1] < 1 and torch.equal(matrix, matrix.t())


def test_overlap_of_empty_masks_is_one(masks):
    for pathway in ("en", "fr"):
        for name, shape in SHAPES.items():
            masks.set(pathway, name, torch.zeros(shape, dtype=torch.bool))
    assert masks.overlap("en", "fr") == 1.0
    assert masks.overlap("en", "it") == 0.0


def test_churn_counts_changed_bits(masks):
    fill(masks)
    before = masks.clone()
    assert masks.churn(before, "en") == 0.0
    mask = masks.get("en", "c")
    mask[0, 2] = ~mask[0, 2]
    masks.set("en", "c", mask)
    assert masks.churn(before, "en") == 1 / N
    assert masks.churn(before, "en", ["c"]) == 1 / 9
    assert masks.churn(before, "fr") == 0.0


def test_a_clone_stays_as_it_was(masks):
    fill(masks)
    clone = masks.clone()
    digest = masks.digest()
    held = masks.packed("en", "c")
    masks.set("en", "c", ~masks.get("en", "c"))
    assert clone.digest() == digest != masks.digest()
    assert clone.packed("en", "c") is held
    assert masks.packed("en", "c") is not held


def test_what_get_returns_is_a_copy(masks):
    masks.get("en", "c").zero_()
    assert masks.density("en") == 1.0
    out = torch.zeros(1, 9, dtype=torch.bool)
    assert masks.get("en", "c", out=out) is out and out.all()


def test_digest_changes_with_any_bit(masks):
    seen = {masks.digest()}
    for pathway in PATHWAYS:
        for name, shape in SHAPES.items():
            for index in range(torch.Size(shape).numel()):
                other = masks.clone()
                mask = other.get(pathway, name)
                mask.view(-1)[index] = False
                other.set(pathway, name, mask)
                seen.add(other.digest())
    assert len(seen) == 1 + 3 * N


def test_digest_covers_names_shapes_and_pathways(masks):
    others = [
        MaskSet({**SHAPES, "c": [9, 1]}, PATHWAYS),
        MaskSet(
            {"a.weight": [3, 5], "b.weight": [2, 2, 7], "d": [1, 9]}, PATHWAYS
        ),
        MaskSet(SHAPES, ["en", "fr", "nl"]),
    ]
    digests = {m.digest() for m in [masks, *others]}
    assert len(digests) == 4
    assert MaskSet(SHAPES, PATHWAYS).digest() == masks.digest()


def test_version_counts_changes(masks):
    versions = [masks.version]
    masks.set("en", "c", torch.ones(1, 9, dtype=torch.bool))
    versions.append(masks.version)
    masks.load_state_dict(masks.state_dict())
    versions.append(masks.version)
    masks.union(), masks.digest(), masks.clone(), masks.state_dict()
    versions.append(masks.version)
    assert versions[0] < versions[1] < versions[2] == versions[3]


def test_one_bit_per_weight_and_pathway():
    masks = MaskSet({"w": [64, 100], "v": [80]}, ["a", "b", "c", "d"])
    fill(masks)
    storages = {
        masks.packed(p, n).untyped_storage().data_ptr(): masks.packed(p, n)
        .untyped_storage()
        .nbytes()
        for p in masks.pathways
        for n in masks.shapes
    }
    assert 8 * sum(storages.values()) == masks.numel() * 4


def test_from_targets():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    masks = MaskSet.from_targets(select_targets(model), ["x"])
    assert masks.shapes == {"0.weight": (4, 3), "1.weight": (2, 4)}


def test_moves_chosen_parameters_only(masks):
    assert masks.to("meta", ["c"]) is masks
    assert masks.packed("fr", "c").device.type == "meta"
    assert masks.packed("fr", "a.weight").device.type == "cpu"


# -- bad arguments -----------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "pathways", "message"),
    [
        (SHAPES, [], "`pathways` must name at least one, got none"),
        (SHAPES, ["en", "en"], "must name each one once, got en twice"),
        (SHAPES, "en", "must be a list of names, got 'en'"),
        (SHAPES, ["en", ""], "got ''"),
        (
            SHAPES,
            ["en", 3],
            "got 3 .type int; as a name it takes quotes",
        ),
        ({}, ["en"], "`shapes` must name at least one parameter"),
        ({"w": [3, 0]}, ["en"], r"no empty tensor, got \[3, 0\] for 'w'"),
    ],
)
def test_refuses_bad_construction(shapes, pathways, message):
    with pytest.raises(UserError, match=message):
        MaskSet(shapes, pathways)


def test_refuses_unknown_names_and_misfits(masks):
    with pytest.raises(UserError, match="`pathway` must be one of en, fr, it"):
        masks.get("de", "c")
    with pytest.raises(UserError, match="`name` must be one of a.weight"):
        masks.packed("en", "a.wieght")
    with pytest.raises(UserError, match=r"'c' must be bool \[1, 9\]"):
        masks.set("en", "c", torch.ones(9, dtype=torch.bool))
    with pytest.raises(UserError, match=r"'c' must be bool .*torch.float32"):
        masks.set("en", "c", torch.ones(1, 9))
    with pytest.raises(UserError, match="`pathways` must be a list of names"):
        masks.union("en")
    with pytest.raises(UserError, match="`pathways` must name at least one"):
        masks.intersection([])
    with pytest.raises(UserError, match="`names` must name at least one"):
        masks.density("en", [])
    with pytest.raises(UserError, match="`name` must be one of"):
        masks.count("en", ["x"])
