"""What a run starts with: a method by its name, the weights of a dense run."""

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checks import UserError
from leanbrain.pruning.starting import load_dense, make_pruner, method_file

METHOD = """
total_steps: !PLACEHOLDER
pathways: !PLACEHOLDER
sparsity: 0.5
seed: 1234
pruner: [!ref <total_steps>, !ref <pathways>, !ref <sparsity>, !ref <seed>]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.yaml").write_text(METHOD)
    without = METHOD.replace("seed: 1234\n", "").replace(", !ref <seed>", "")
    (tmp_path / "plain.yaml").write_text(without)
    return tmp_path


def test_a_method_is_found_by_name_or_path(folder):
    assert method_file("mine", folder) == folder / "mine.yaml"
    other = folder / "other" / "mine.yaml"
    assert method_file(other, folder) == other
    with pytest.raises(UserError, match="'min'.*mine"):
        method_file("min", folder)


def test_settings_of_the_user_go_before_those_of_the_recipe(folder):
    common = {"total_steps": 9, "pathways": ["all"]}

    def made(name, own):
        return make_pruner(folder / f"{name}.yaml", own, 7, **common)

    assert made("mine", None) == [9, ["all"], 0.5, 7]
    own = {"sparsity": 0.8, "seed": 3, "total_steps": 4}
    assert made("mine", own) == [4, ["all"], 0.8, 3]
    # A method that draws nothing is not told a seed.
    assert made("plain", {}) == [9, ["all"], 0.5]
    with pytest.raises(UserError, match="`pruning` must be keys.* got 0.8"):
        made("mine", 0.8)


def test_weights_of_the_newest_dense_checkpoint(tmp_path):
    model = torch.nn.Linear(3, 2)
    saved = Checkpointer(tmp_path / "save", {"model": model})
    saved.save_checkpoint()
    other = torch.nn.Linear(3, 2)
    load_dense(other, tmp_path / "save")
    assert torch.equal(other.weight, model.weight)
    with pytest.raises(UserError, match="of the same model, got .*size"):
        load_dense(torch.nn.Linear(3, 4), tmp_path / "save")
    with pytest.raises(UserError, match="got .*empty without a checkpoint"):
        load_dense(other, tmp_path / "empty")
