"""`leanbrain run` under torchrun: one pruned model, seen alike by two ranks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

STOCK = Path(__file__).parent / "stock"
METHODS = Path(__file__).resolve().parents[3] / "hparams" / "pruning"

# Each rank writes what it has at the end, and the data that it had.
REPORT = """
    pruner = brain.checkpointer.recoverables["pruner"]
    own = brain.make_dataloader(data, sb.Stage.TRAIN, **loading)
    torch.save(
        {
            "rank": torch.distributed.get_rank(),
            "items": [name for batch in own for name in batch.id],
            "step": pruner.step,
            "masks": pruner.masks.digest(),
            "density": pruner.masks.density("all"),
            "weights": brain.modules.state_dict(),
            "hidden": [pruner.switch.dense(t.name) for t in pruner.targets],
        },
        f"{hparams['output_folder']}/rank.{torch.distributed.get_rank()}",
    )
"""


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
TORCHRUN += ("--nproc_per_node=2", "-m", "leanbrain")

RUN = """
import sys

from leanbrain.__main__ import main

sys.exit(main(sys.argv[1:]))
"""


def with_torchrun(arguments):
    """As users start it."""
    return subprocess.run(
        [*TORCHRUN, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.ddp
@pytest.mark.parametrize("how", ["torchrun", "late_writes", "late_reads"])
def test_ranks_end_with_the_same_masks_and_weights(on_two_ranks, tmp_path, how):
    script, out = tmp_path / "train.py", tmp_path / "out"
    script.write_text((STOCK / "train.py").read_text() + REPORT)
    out.mkdir()
    # rigl grows by gradients: each rank has its own, of other sentences.
    arguments = (
        f"run {script} {STOCK}/train.yaml --pruning {METHODS}/rigl.yaml "
        f"--set interval=2 sparsity=0.5 --output_folder={out} --device=cpu "
        "--noprogressbar --distributed_backend=gloo"
    ).split()
    if how == "torchrun":
        done = with_torchrun(arguments)
    else:
        (tmp_path / "run.py").write_text(RUN)
        done = on_two_ranks(how, tmp_path / "run.py", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    # 16 sentences, 4 in a batch, on two ranks: 2 steps in each of 4 epochs.
    assert done.stdout.count("leanbrain: Step 8 of 8: removed of 336") == 1
    one, two = (torch.load(out / f"rank.{rank}") for rank in (0, 1))
    assert (one["rank"], two["rank"]) == (0, 1)
    assert not set(one["items"]) & set(two["items"])
    assert one["step"] == two["step"] == 8
    assert one["masks"] == two["masks"] and one["density"] == 0.5
    assert list(one["weights"]) == list(two["weights"])
    for first, second in zip(
        [*one["weights"].values(), *one["hidden"]],
        [*two["weights"].values(), *two["hidden"]],
        strict=True,
    ):
        assert torch.equal(first, second)
