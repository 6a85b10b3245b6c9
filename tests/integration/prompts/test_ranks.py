"""train.py on two ranks: both prepare, train, choose and evaluate alike."""

import json

import pytest
import torch

pytestmark = pytest.mark.ddp

# Each rank says what it found, in the end; all must be the same.
SAYING = """
import functools
import json
import sys

import torch

from leanbrain.dataio import synthesis

sys.path.insert(0, sys.argv[1])
import prompts_brain
import train

# A corpus in seconds, where none is given.
synthesis.Settings = functools.partial(
    synthesis.Settings, ("en", "fr"), train=6, valid=2, test=2
)
write_outcome = prompts_brain.write_outcome


def saying(hparams, errors, valid_cer, steps, *others):
    weights = [float(p.sum()) for p in hparams["model"].parameters()]
    pruner = hparams["pruner"]
    masks = None if pruner is None else pruner.masks.digest()
    found = [errors.summary(), errors.utterances(), valid_cer, steps]
    print("\\nsaid", json.dumps([*found, weights, masks]), flush=True)
    write_outcome(hparams, errors, valid_cer, steps, *others)


prompts_brain.write_outcome = saying
train.main(sys.argv[2:])
"""


@pytest.fixture
def train(on_two_ranks, recipe, command, tmp_path):
    """Runs train.py on two ranks; returns its result."""
    script = tmp_path / "saying.py"
    script.write_text(SAYING)

    def train(late, yaml, corpus, out, **options):
        words = command(recipe, yaml, corpus, out, **options)[2:]
        words += ["--device=cpu", "--distributed_backend=gloo"]
        done = on_two_ranks(late, script, recipe, *words)
        lines = [x for x in done.stdout.splitlines() if x.startswith("said")]
        assert len(lines) == 2 and lines[0] == lines[1]
        return json.loads((out / "result.json").read_text())

    return train


def test_dense_then_pruned_then_the_same_command_again(train, corpus, tmp_path):
    dense, out = tmp_path / "dense", tmp_path / "pruned"
    # Epochs with a checkpoint each, of which one is kept.
    options = {"number_of_epochs": 3, "batches_per_epoch": 3}
    result = train("late_writes", "dense.yaml", corpus, dense, **options)
    assert result["steps"] == 9
    options |= {"dense_checkpoint": dense / "save", "ckpt_interval_steps": 2}
    pruned = ("pathways.yaml", corpus, out)
    first = train("late_writes", *pruned, **options)
    assert first["steps"] == 9 and 0.69 < first["sparsity"] < 0.71
    # One of them logs.
    assert len(list((out / "tensorboard").iterdir())) == 1
    lines = (out / "history.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)) > 5
    (kept,) = out.glob("save/CKPT*")
    saved = torch.load(kept / "model.ckpt")
    (out / "result.json").unlink()
    again = train("late_reads", *pruned, **options)
    assert again["cer"] == first["cer"] and again["steps"] == 9
    (kept,) = out.glob("save/CKPT*")
    for name, weight in torch.load(kept / "model.ckpt").items():
        assert torch.equal(weight, saved[name])


def test_a_synthesised_corpus_and_learned_features(
    train, recipe, nmf_recipe, tmp_path
):
    pytest.importorskip("espeakng_loader", reason="needs the extra `demo`")
    out = tmp_path / "run"
    options = {"number_of_epochs": 1, "batches_per_epoch": 2}
    options["synthesis_folder"] = tmp_path / "speech"
    yaml = nmf_recipe / "hparams" / "dense.yaml"
    result = train("late_writes", yaml, "", out, **options)
    assert set(result["cer"]) == {"en", "fr"}
    (speech,) = (tmp_path / "speech").iterdir()
    assert len(list(speech.glob("*/*.flac"))) == 2 * (6 + 2 + 2)
    assert not list(speech.rglob("*.tmp"))
    assert (out / "atoms.png").is_file()
