"""`leanbrain run` prunes a script that knows nothing of it."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.__main__ import main
from leanbrain.files import load_tensors

STOCK = Path(__file__).parent / "stock"
METHODS = Path(__file__).resolve().parents[3] / "hparams" / "pruning"
QUIET = ["--device", "cpu", "--noprogressbar"]


def run(folder, method, *options, script=STOCK / "train.py", yaml=None):
    """Runs the script through the command line."""
    return main(
        [
            "run",
            str(script),
            str(yaml or STOCK / "train.yaml"),
            "--pruning",
            str(METHODS / f"{method}.yaml"),
            *options,
            "--output_folder",
            str(folder),
            *QUIET,
        ]
    )


def saved(folder):
    """The newest checkpoint, its model and its pruner's state."""
    found = Checkpointer(folder / "save").find_checkpoint()
    pruner = found.paramfiles.get("pruner")
    return (
        found,
        torch.load(found.paramfiles["model"]),
        pruner and load_tensors(pruner, kind="leanbrain.pruner", version=1),
    )


def test_nothing_pruned_changes_no_bit(tmp_path, monkeypatch):
    argv = ["train.py", str(STOCK / "train.yaml"), "--output_folder"]
    monkeypatch.setattr(sys, "argv", [*argv, str(tmp_path / "a"), *QUIET])
    runpy.run_path(str(STOCK / "train.py"), run_name="__main__")
    assert run(tmp_path / "b", "none") == 0
    _, stock, nothing = saved(tmp_path / "a")
    _, ours, pruner = saved(tmp_path / "b")
    assert nothing is None and pruner["state"]["frozen"]
    assert stock.keys() == ours.keys()
    assert all(torch.equal(stock[name], ours[name]) for name in stock)


def test_half_is_the_exact_half(tmp_path, capsys):
    everything = "--exclude", "--set", "sparsity=0.5"
    assert run(tmp_path, "one_shot", *everything) == 0
    _, model, _ = saved(tmp_path)
    matrices = [value for value in model.values() if value.dim() > 1]
    assert len(matrices) == 3
    assert all(int((w == 0).sum()) * 2 == w.numel() for w in matrices)
    assert "Step 16 of 16: removed of 352 weights" in capsys.readouterr().out


def test_run_that_failed_continues_as_if_it_had_not(tmp_path):
    options = ("--set", "interval=2", "sparsity=0.6")
    assert run(tmp_path / "a", "adaptive", *options) == 0
    with pytest.raises(RuntimeError, match="the power failed"):
        run(tmp_path / "b", "adaptive", *options, "--fail_in_epoch", "3")
    assert saved(tmp_path / "b")[2]["state"]["step"] == 8
    # The plan is that of the first start: it is not stretched.
    longer = "--number_of_epochs", "6"
    assert run(tmp_path / "b", "adaptive", *options, *longer) == 0
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert first[0].meta["pruning_total_steps"] == 16
    assert second[0].meta["pruning_total_steps"] == 16
    masks = [found[2]["state"]["masks"] for found in (first, second)]
    assert str(masks[0]) == str(masks[1])


def test_continued_weights_are_those_of_a_straight_run(tmp_path):
    options = ("--set", "interval=2", "sparsity=0.6")
    run(tmp_path / "a", "rigl", *options)
    with pytest.raises(RuntimeError, match="the power failed"):
        run(tmp_path / "b", "rigl", *options, "--fail_in_epoch", "3")
    run(tmp_path / "b", "rigl", *options)
    straight, continued = saved(tmp_path / "a")[1], saved(tmp_path / "b")[1]
    assert all(torch.equal(straight[n], continued[n]) for n in straight)


def test_pathways_of_batches(tmp_path, capsys):
    two = ("--pathways", "en", "fr", "--set", "interval=2")
    assert run(tmp_path / "a", "adaptive", *two) == 0
    out = capsys.readouterr().out
    # 70 % of the encoder's layers, as whole weights: 235 of 336.
    assert "en 69.94%, fr 69.94%; masks are final" in out
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "b", "adaptive", *two, "--mixed_batches", "True")
    assert "utterances of one language" in capsys.readouterr().err


def test_best_of_the_final_checkpoints_is_evaluated(tmp_path, caplog):
    # The loss is lowest while little is pruned.
    late = ("--set", "interval=1", "sparsity=0.95", "heal=0.2")
    assert run(tmp_path, "adaptive", *late) == 0
    assert "before the masks reached" not in caplog.text
    kept = Checkpointer(tmp_path / "save").list_checkpoints()
    assert kept and all(c.meta["pruning_final"] for c in kept)


def test_evaluation_alone_takes_the_masks_from_the_checkpoint(tmp_path, capsys):
    run(tmp_path, "one_shot")
    capsys.readouterr()
    assert run(tmp_path, "one_shot", "--test_only") == 0
    assert "Step 16 of 16" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "none", "one_shot", "--test_only")
    assert "checkpoint of `leanbrain run`" in capsys.readouterr().err


BROKEN = {  # what is replaced in the script -> with what, and the sentence
    "does not fit": (
        ("    brain.fit(", "    quit()\n    brain.fit("),
        "did neither",
    ),
    "no opt_class": (('hparams["opt_class"]', "None"), "`opt_class` must be"),
    "key gone": (('["opt_class"]', '["own_opt_class"]'), "`own_opt_class`"),
    "a pruner": (
        (
            "    loading =",
            "    from leanbrain.pruning.methods import load_method\n"
            f"    load_method({str(METHODS / 'none.yaml')!r}, total_steps=9,"
            " pathways=[])['pruner'].attach(brain)\n    loading =",
        ),
        "must have no pruner",
    ),
    "wrapped": (
        (
            "    loading =",
            "    brain.modules['encoder'] = torch.nn.DataParallel("
            "brain.modules['encoder'])\n    loading =",
        ),
        "before its modules are wrapped",
    ),
    "no length": (
        (
            "        data,\n        data,",
            "        torch.utils.data.DataLoader(type('Stream', (torch.utils."
            "data.IterableDataset,), {'__iter__': iter})()),\n        data,",
        ),
        "`--total_steps` must be given",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_scripts_that_cannot_be_pruned(tmp_path, capsys, case):
    (old, new), sentence = BROKEN[case]
    text = (STOCK / "train.py").read_text()
    assert old in text
    script = tmp_path / "train.py"
    script.write_text(text.replace(old, new))
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "one_shot", script=script)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error


def test_named_brain_that_is_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "one_shot", "--brain", "Decoder")
    assert "(about to be fitted: Classifier)" in capsys.readouterr().err


def test_dense_checkpoints_are_not_taken_for_pruned_ones(tmp_path, capsys):
    run(tmp_path, "one_shot")
    for file in tmp_path.rglob("pruner.ckpt"):
        file.unlink()
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "one_shot")
    assert "continue from a pruned checkpoint" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path / "file" / "run", "one_shot")
    said = capsys.readouterr().err
    assert "error: The recipe was refused " in said.splitlines()[-1]
    assert "file/run" in said and "(Not a directory)" in said


def test_a_file_that_a_script_misses_keeps_its_traceback(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("open('nowhere.txt')\n")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        run(tmp_path / "run", "one_shot", script=script)


def test_inspect_foretells_by_the_first_step(tmp_path, capsys):
    """What the run itself says, before it has made masks."""
    words = [str(STOCK / "train.py"), str(STOCK / "train.yaml")]
    words += ["--json", "--pruning", "lap", "--output_folder"]
    assert main(["inspect", *words, str(tmp_path / "look"), *QUIET]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Checkpointer(tmp_path / "look" / "save").find_checkpoint() is None
    assert run(tmp_path / "run", "lap") == 0
    _, _, pruner = saved(tmp_path / "run")
    names = [row["name"] for row in told["targets"]]
    assert names == list(pruner["state"]["masks"]["shapes"])
    assert told["dry_run"]["total_steps"] == 16


def test_inspect_says_that_a_script_does_not_train(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text("print('done')\n")
    yaml = str(STOCK / "train.yaml")
    with pytest.raises(SystemExit):
        main(["inspect", str(script), yaml, "--data_folder", "x"])
    assert "must train until it shows what" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["inspect", yaml, str(script)])
    assert "script must stand before its YAML" in capsys.readouterr().err
