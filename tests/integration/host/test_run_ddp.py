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


@pytest.mark.ddp
def test_ranks_end_with_the_same_masks_and_weights(tmp_path):
    script = tmp_path / "train.py"
    script.write_text((STOCK / "train.py").read_text() + REPORT)
    (tmp_path / "out").mkdir()
    # rigl grows by gradients: each rank has its own, of other sentences.
    command = (
        f"{sys.executable} -m torch.distributed.run --standalone "
        f"--nproc_per_node=2 -m leanbrain run {script} {STOCK}/train.yaml "
        f"--pruning {METHODS}/rigl.yaml --set interval=2 sparsity=0.5 "
        f"--output_folder={tmp_path}/out --device=cpu --noprogressbar "
        "--distributed_backend=gloo"
    )
    done = subprocess.run(
        command.split(),
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # 16 sentences, 4 in a batch, on two ranks: 2 steps in each of 4 epochs.
    assert done.stdout.count("leanbrain: Step 8 of 8: removed of 336") == 1
    one, two = (torch.load(tmp_path / "out" / f"rank.{r}") for r in (0, 1))
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
