"""train.py on two ranks: both prepare, learn, choose and evaluate alike."""

import json

import pytest

from leanbrain.hyperyaml import as_override

pytestmark = pytest.mark.ddp

# Each rank says what it found, in the end; all must be the same.
SAYING = """
import functools
import json
import sys

import torch

from leanbrain.dataio import digits

sys.path.insert(0, sys.argv[1])
import train

# A corpus in seconds, where none is given.
digits.DigitSettings = functools.partial(
    digits.DigitSettings, ("en",), train=1, valid=1, test=1
)
write_result = train.write_result


def saying(hparams, facts):
    front_end = hparams["compute_features"].state_dict()
    found = {k: x for k, x in facts.items() if k != "seconds"}
    found["weights"] = [float(p.sum()) for p in hparams["model"].parameters()]
    found["front end"] = [float(x.double().sum()) for x in front_end.values()]
    print("\\nsaid", json.dumps(found), flush=True)
    write_result(hparams, facts)


train.write_result = saying
train.main(sys.argv[2:])
"""

TINY = {
    "number_of_epochs": 3,
    "batches_per_epoch": 3,
    "warmup_steps": 1,
    "max_batch_s": 4.0,
    "noise_colours": ["pink"],
    "noise_snrs_db": [10],
    "speeds": [1.0],
}


@pytest.fixture
def train(on_two_ranks, recipe, tmp_path):
    """Runs train.py on two ranks; returns its result."""
    script = tmp_path / "saying.py"
    script.write_text(SAYING)

    def train(late, yaml, out, **options):
        settings = {**TINY, "output_folder": out, **options}
        words = [as_override(key, value) for key, value in settings.items()]
        words += ["--device=cpu", "--distributed_backend=gloo"]
        words += ["--noprogressbar"]
        yaml = recipe / "hparams" / yaml
        done = on_two_ranks(late, script, recipe, yaml, *words)
        lines = [x for x in done.stdout.splitlines() if x.startswith("said")]
        assert len(lines) == 2 and lines[0] == lines[1]
        return json.loads((out / "result.json").read_text())

    return train


def test_dense_then_pruned_then_the_same_command_again(train, corpus, tmp_path):
    dense, out = tmp_path / "dense", tmp_path / "pruned"
    data = {"data_folder": corpus}
    # Epochs with a checkpoint each: the newest is kept, and the best.
    first = train("late_writes", "fbank.yaml", dense, **data)
    assert first["steps"] == 9 and 1 <= len([*dense.glob("save/CKPT*")]) <= 2
    again = train("late_reads", "fbank.yaml", dense, **data)
    for key in ("error_percent", "best", "steps", "flops"):
        assert again[key] == first[key]
    pruned = {**data, "method": "lap", "dense_checkpoint": dense / "save"}
    found = train("late_writes", "pruned.yaml", out, **pruned)
    assert found["steps"] == 9 and found["sparsity"] > 0.5


def test_synthesised_digits_and_a_learned_front_end(train, tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra `demo`")
    out = tmp_path / "run"
    options = {"synthesis_folder": tmp_path / "speech", "number_of_epochs": 1}
    result = train("late_writes", "nmf_finetuned.yaml", out, **options)
    assert result["steps"] == 3 and (out / "atoms.png").is_file()
    (speech,) = (tmp_path / "speech").iterdir()
    assert len(list(speech.glob("*/*.flac"))) == 10 * (10 + 2 + 2)


def test_batch_normalisation_is_over_all_ranks(on_two_ranks, recipe, tmp_path):
    """Two ranks with other frames each normalise as one that has them all."""
    script = tmp_path / "norm.py"
    script.write_text(
        f"""
import sys

import speechbrain as sb
import torch
import torch.distributed as dist

sys.path.insert(0, {str(recipe)!r})
from features import BatchNorm

sb.utils.distributed.ddp_init_group({{"distributed_backend": "gloo"}})
torch.manual_seed(0)
every = torch.randn(7, 3, dtype=torch.double) * 2 + 1
scale = torch.randn(7, 3, dtype=torch.double)
alone = torch.nn.BatchNorm1d(3).double()
torch.nn.init.normal_(alone.weight)
shared = BatchNorm(3).double()
shared.load_state_dict(alone.state_dict())
own = slice(0, 5) if dist.get_rank() == 0 else slice(5, 7)
for turn in range(2):
    whole, part = (x.clone().requires_grad_() for x in (every, every[own]))
    found, wanted = shared(part), alone(whole)
    torch.testing.assert_close(found, wanted[own])
    (found * scale[own]).sum().backward()
    (wanted * scale).sum().backward()
    torch.testing.assert_close(part.grad, whole.grad[own])
for name, value in alone.state_dict().items():
    torch.testing.assert_close(shared.state_dict()[name], value)
shared.eval(), alone.eval()
torch.testing.assert_close(shared(every), alone(every))
print("the same")
"""
    )
    done = on_two_ranks("late_writes", script)
    assert done.stdout.count("the same") == 2
