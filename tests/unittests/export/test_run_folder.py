"""Which checkpoint of a run's folder is taken."""

import shutil

import pytest
import small_run
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checks import UserError
from leanbrain.export.run_folder import choose_checkpoint


def steps(folder, **options):
    return choose_checkpoint(folder, **options).state["step"]


@pytest.fixture
def several(tmp_path):
    """Step 1 is best but not final; of the final ones 3 is, 4 the newest."""
    run = small_run.SmallRun(tmp_path / "run")
    run.save(frozen=False, WER=1.0, ACC=9.0)
    for wer, acc in [(7.0, 3.0), (5.0, 2.0), (6.0, 1.0)]:
        run.save(WER=wer, ACC=acc)
    return run


def test_the_best_of_the_final_ones_else_the_newest(several):
    folder = several.folder
    assert steps(folder) == 4
    assert steps(folder, min_key="WER") == 3
    assert steps(folder, max_key="ACC") == 2
    chosen = choose_checkpoint(folder, min_key="WER")
    assert chosen.why == (
        "the one with the lowest WER (5) of 3 checkpoints with final masks"
    )


@pytest.mark.parametrize(
    ("keys", "step"),
    [({"min_keys": ["WER"]}, 3), ({"max_keys": ["ACC"]}, 2), ({}, 5)],
)
def test_a_recipe_says_itself_which_are_best(several, keys, step):
    several.pruner.step += 1
    several.checkpointer.save_and_keep_only(
        meta={"WER": 8.0, "ACC": 0.0}, num_to_keep=5, **keys
    )
    assert steps(several.folder) == step
    # What the user says goes before.
    assert steps(several.folder, max_key="WER") == 5


def test_the_meta_data_says_what_is_final_where_it_does(several):
    several.checkpointer.save_checkpoint(meta={"pruning_final": False})
    assert steps(several.folder) == 4


def test_folders_of_a_run_its_checkpoints_and_one_of_them(several):
    folder = several.folder
    assert steps(folder / "save") == 4
    assert steps(folder.parent) == 4
    first = min((folder / "save").glob("CKPT*"))
    assert steps(first, unfinished=True) == 1
    with pytest.raises(UserError, match="must be final"):
        steps(first)


def test_masks_that_are_not_final_only_if_asked_for(tmp_path):
    run = small_run.SmallRun(tmp_path)
    run.save(frozen=False)
    with pytest.raises(UserError, match="got 1 checkpoints .*`unfinished`"):
        steps(tmp_path)
    assert steps(tmp_path, unfinished=True) == 1


def test_what_is_no_run_is_one_sentence(several, tmp_path):
    folder = several.folder
    with pytest.raises(UserError, match=r"must be a folder, got '.*none'"):
        steps(tmp_path / "none")
    with pytest.raises(UserError, match="got both"):
        steps(folder, min_key="WER", max_key="ACC")
    with pytest.raises(UserError, match=r"`min_key` .*got 'WERR' .*WER"):
        steps(folder, min_key="WERR")
    shutil.copytree(folder, tmp_path / "second")
    with pytest.raises(UserError, match="got checkpoints in 2: "):
        steps(tmp_path)
    dense = Checkpointer(tmp_path / "dense")
    dense.save_checkpoint()
    with pytest.raises(UserError, match="pruner.ckpt, got 1 without one"):
        steps(tmp_path / "dense")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="got no checkpoint in "):
        steps(tmp_path / "empty")
    for content in ("a: [", "- 1\n", "a: 1\n"):
        next((folder / "save").glob("CKPT*/CKPT.yaml")).write_text(content)
        with pytest.raises(UserError, match="must be as SpeechBrain writes it"):
            steps(folder)
