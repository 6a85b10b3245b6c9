"""First masks from files: which mask is taken, and what does not fit."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, select_targets
from leanbrain.pruning.initial import MasksFromFiles, check_masks
from leanbrain.pruning.scores.basic import Magnitude
from leanbrain.pruning.scores.gathering import Gathering


@pytest.fixture
def targets():
    return select_targets({"m": torch.nn.Linear(4, 5, bias=False)})


def mask_of(shift):
    """Half of 20 weights, different for each shift."""
    half = torch.arange(20) % 2 == 0
    return half.roll(shift).view(5, 4)


def saved(path, pathways):
    """A file whose masks are shifted by the pathway's number."""
    masks = MaskSet({"m.weight": (5, 4)}, pathways)
    for shift, pathway in enumerate(pathways):
        masks.set(pathway, "m.weight", mask_of(shift))
    masks.save(path)
    return path


def test_the_pathway_of_that_name_is_taken(tmp_path, targets):
    initial = MasksFromFiles(saved(tmp_path / "m.pt", ["en", "fr"]))
    for shift, pathway in enumerate(["en", "fr"]):
        masks = initial(pathway, targets)
        assert torch.equal(masks["m.weight"], mask_of(shift))


def test_the_mask_of_all_serves_any(tmp_path, targets):
    initial = MasksFromFiles(str(saved(tmp_path / "m.pt", ["all"])))
    assert torch.equal(initial("fr", targets)["m.weight"], mask_of(0))


def test_one_file_per_pathway(tmp_path, targets):
    initial = MasksFromFiles(
        {
            "en": saved(tmp_path / "a.pt", ["all"]),
            "fr": saved(tmp_path / "b.pt", ["en", "fr"]),
        }
    )
    assert torch.equal(initial("en", targets)["m.weight"], mask_of(0))
    assert torch.equal(initial("fr", targets)["m.weight"], mask_of(1))
    with pytest.raises(UserError, match="must be one of en, fr; got 'it'"):
        initial("it", targets)


def test_a_pathway_that_no_file_holds_is_refused(tmp_path, targets):
    initial = MasksFromFiles(saved(tmp_path / "m.pt", ["en", "fr"]))
    with pytest.raises(UserError, match="be of 'it', or .* got .* en, fr"):
        initial("it", targets)


@pytest.mark.parametrize("pathways", [["ru"], ["all", "ru"]])
def test_a_mask_of_another_pathway_is_refused(tmp_path, targets, pathways):
    initial = MasksFromFiles(saved(tmp_path / "m.pt", pathways))
    match = f"be of 'en', or of 'all' alone, got .* {', '.join(pathways)}"
    with pytest.raises(UserError, match=match):
        initial("en", targets)


def test_a_missing_file_is_named(tmp_path, targets):
    with pytest.raises(UserError, match="none.pt does not exist"):
        MasksFromFiles(tmp_path / "none.pt")("en", targets)


@pytest.mark.parametrize("files", [None, "", {}, 3])
def test_what_names_no_file_is_refused(files):
    with pytest.raises(UserError, match="`initial_masks` must be a file"):
        MasksFromFiles(files)


def test_masks_that_fit_are_accepted(targets):
    masks = {"m.weight": mask_of(0)}
    assert check_masks("en", masks, targets, 0.5) is None


@pytest.mark.parametrize(
    "masks, sparsity, match",
    [
        (
            {"m.weight": mask_of(0)},
            0.55,
            "share 0.55 .* got 0.5 \\(10 of 20 .* kept instead of 9\\)",
        ),
        ({"m.weighty": mask_of(0)}, 0.5, "'m.weight', got none .* m.weighty"),
        (
            {"m.weight": mask_of(0), "m.out": mask_of(0)},
            0.5,
            "'m.out' as well .* `exclude`",
        ),
        ({"m.weight": mask_of(0).T}, 0.5, "bool \\[5, 4\\] .* \\[4, 5\\]"),
        ({"m.weight": mask_of(0).float()}, 0.5, "got torch.float32"),
    ],
)
def test_masks_that_do_not_fit_are_refused(targets, masks, sparsity, match):
    with pytest.raises(UserError, match=f"masks of 'en' must .*{match}"):
        check_masks("en", masks, targets, sparsity)


def test_first_masks_need_no_score():
    scores = Gathering.of(None, None, None, initial=lambda *_: {})
    assert scores.first_saliency is None
    assert isinstance(scores.saliency, Magnitude)


def test_first_masks_and_a_score_for_them_are_refused():
    with pytest.raises(UserError, match="`initial` must be null .* got both"):
        Gathering.of(None, None, Magnitude(), initial=lambda *_: {})
    with pytest.raises(UserError, match="`initial` must be callable"):
        Gathering.of(None, None, None, initial="masks.pt")
