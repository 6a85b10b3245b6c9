"""What a run starts with: a method by its name, the weights of a dense run."""

from pathlib import Path

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checks import UserError
from leanbrain.dataio.sampler import LanguageBatchSampler
from leanbrain.pruning.flops.batch_seconds import full_batches, padded_seconds
from leanbrain.pruning.host.starting import load_dense, make_pruner
from leanbrain.pruning.methods import load_method

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


METHODS = Path(__file__).resolve().parents[4] / "hparams" / "pruning"


@pytest.mark.parametrize("name", ["set", "rigl", "ggr", "granet"])
def test_first_masks_by_chance_or_by_magnitude(name):
    """A trained model keeps its largest weights, a new one any."""
    settings = {"sparsity": 0.8, "total_steps": 20, "pathways": ["all"]}
    settings["interval"] = 2
    if name == "granet":
        settings["initial_sparsity"] = 0.8
    for by_magnitude in (False, True):
        settings["first_by_magnitude"] = by_magnitude
        pruner = load_method(METHODS / f"{name}.yaml", **settings)["pruner"]
        torch.manual_seed(0)
        layer = torch.nn.Linear(20, 10, bias=False)
        weights = layer.weight.detach().abs().clone()
        pruner.manage(torch.nn.ModuleDict({"hidden": layer}))
        pruner.start()
        mask = pruner.masks.get("all", "hidden.weight").bool()
        assert int(mask.sum()) == 40
        largest = weights >= weights.view(-1).topk(40).values[-1]
        assert bool((mask == largest).all()) is by_magnitude
    settings["first_by_magnitude"] = "yes"
    with pytest.raises(UserError, match="first_by_magnitude.*got 'yes'"):
        load_method(METHODS / f"{name}.yaml", **settings)


def test_padded_seconds_are_those_of_the_batches_that_all_ranks_get():
    durations = [0.1 * i + 0.3 for i in range(17)]
    languages = ["en" if i % 3 else "fr" for i in range(17)]

    def sampler(rank=0, ranks=1):
        return LanguageBatchSampler(
            durations, languages, 4.0, 5, seed=3, rank=rank, world_size=ranks
        )

    def seconds(ranks):
        total = 0.0
        for rank in range(ranks):
            own = sampler(rank, ranks)
            for epoch in (1, 2, 3):
                own.set_epoch(epoch)
                for batch in own:
                    total += len(batch) * max(durations[i] for i in batch)
        return total

    mine = sampler()
    mine.set_epoch(2)
    assert padded_seconds(mine, 3) == pytest.approx(seconds(1))
    assert full_batches(mine, 3) == pytest.approx(seconds(1) / 4.0)
    assert mine.epoch == 2
    # Two ranks do the work of both.
    both = padded_seconds(sampler(1, 2), 3)
    assert both == pytest.approx(seconds(2)) and both > 1.5 * seconds(1)
