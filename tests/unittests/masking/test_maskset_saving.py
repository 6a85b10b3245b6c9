"""MaskSet to files and back, and the ways in which a file can be wrong."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.files import save_tensors
from leanbrain.masking import MaskSet

SHAPES = {"a.weight": [3, 5], "b.weight": [2, 2, 7], "c": [1, 9]}
PATHWAYS = ["en", "fr", "it"]


@pytest.fixture
def masks(make_rig):
    masks = MaskSet(SHAPES, PATHWAYS)
    make_rig.randomize_masks(masks)
    return masks


def test_save_and_load_bit_for_bit(masks, tmp_path):
    masks.save(tmp_path / "masks.pt")
    again = MaskSet.load(tmp_path / "masks.pt")
    assert again.digest() == masks.digest()
    assert again.pathways == masks.pathways and again.shapes == masks.shapes
    state = torch.load(tmp_path / "masks.pt", weights_only=True)
    assert state["format"] == "leanbrain.maskset" and state["version"] == 1


def test_state_dict_is_a_snapshot(masks):
    state = masks.state_dict()
    state["bits"]["en"]["c"].zero_()
    assert masks.count("en", "c") > 0


def test_loads_whatever_the_order(masks):
    other = MaskSet(dict(reversed(SHAPES.items())), PATHWAYS[::-1])
    other.load_state_dict(masks.state_dict())
    for pathway in PATHWAYS:
        for name in SHAPES:
            assert torch.equal(
                other.get(pathway, name), masks.get(pathway, name)
            )


def test_truncated_and_missing_files(masks, tmp_path):
    path = tmp_path / "masks.pt"
    masks.save(path)
    data = path.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"masks\.pt .*truncated"):
            MaskSet.load(path)
    with pytest.raises(UserError, match="does not exist"):
        MaskSet.load(tmp_path / "none.pt")


def test_foreign_files(masks, tmp_path):
    path = tmp_path / "masks.pt"
    save_tensors(path, {**masks.state_dict(), "version": 99})
    with pytest.raises(UserError, match="version 1 .*got 99"):
        MaskSet.load(path)
    save_tensors(path, {"format": "other", "version": 1})
    with pytest.raises(
        UserError, match="format 'leanbrain.maskset', got 'other'"
    ):
        MaskSet.load(path)
    save_tensors(path, {"format": "leanbrain.maskset", "version": 1})
    with pytest.raises(UserError, match="must hold 'pathways', got none"):
        MaskSet.load(path)


def damaged(state, how):
    """A state dict with one fault."""
    bits = {p: dict(b) for p, b in state["bits"].items()}
    shapes = dict(state["shapes"])
    state = {**state, "bits": bits, "shapes": shapes}
    if how == "version":
        state["version"] = 2
    elif how == "pathways":
        state["pathways"] = ["en", "fr", "de"]
    elif how == "shape":
        shapes["c"] = [9, 1]
    elif how == "missing":
        shapes["a.wieght"] = shapes.pop("a.weight")
    elif how == "added":
        shapes["d"] = [2, 2]
    elif how == "short":
        bits["fr"]["c"] = torch.zeros(1, dtype=torch.uint8)
    elif how == "type":
        bits["fr"]["c"] = bits["fr"]["c"].int()
    elif how == "none":
        del bits["fr"]["c"]
    elif how == "trailing":
        bits["fr"]["c"] = torch.full((2,), 255, dtype=torch.uint8)
    return state


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("version", "version 1; got .*version 2"),
        ("pathways", "pathways en, fr, it; got en, fr, de"),
        ("shape", r"'c' must be of shape \[1, 9\], got \[9, 1\]"),
        ("missing", r"must hold .*'a.weight'.*\(nearest: .*a.wieght"),
        ("added", "this model's parameters only, got 'd'"),
        ("short", "'c' for pathway 'fr' must be 9 bits in 2 bytes"),
        ("type", "must be 9 bits"),
        ("none", "must be 9 bits"),
        ("trailing", "must be 9 bits"),
    ],
)
def test_damaged_states_change_nothing(masks, make_rig, how, message):
    before, version = masks.digest(), masks.version
    other = MaskSet(SHAPES, PATHWAYS)
    make_rig.randomize_masks(other, 5)
    with pytest.raises(UserError, match=message):
        masks.load_state_dict(damaged(other.state_dict(), how))
    assert masks.digest() == before and masks.version == version
