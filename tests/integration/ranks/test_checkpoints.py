"""Checkpoints on two ranks: each finds what the other one finds."""

import pytest

pytestmark = pytest.mark.ddp

# What each rank lists, chooses and loads after each step; all must be equal.
START = """
import sys
from pathlib import Path

import speechbrain as sb
import torch
import torch.distributed as dist
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checkpointing import SafeCheckpointer, add_state

sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})


def agree(value):
    both = [None, None]
    dist.all_gather_object(both, value)
    assert both[0] == both[1], both
    return both[0]


class State:
    def __init__(self):
        self.value = 0

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def seen(checkpointer):
    return [
        (c.path.name, sorted(c.paramfiles), c.meta["loss"])
        for c in checkpointer.find_checkpoints()
    ]


folder, model, state = Path(sys.argv[1]), torch.nn.Linear(3, 3), State()
"""

KEPT = """
checkpointer = SafeCheckpointer(folder, {"model": model})
add_state(checkpointer, "state", state)
for step, loss in enumerate([3.0, 1.0, 2.0, 4.0, 5.0, 0.5]):
    torch.nn.init.constant_(model.weight, float(step))
    state.value = step
    keep = {"num_to_keep": 2, "min_keys": ["loss"]} if step > 2 else {}
    checkpointer.save_and_keep_only(
        meta={"loss": loss}, importance_keys=[], **keep
    )
    names = agree(seen(checkpointer))
    assert all(files == ["model", "state"] for _, files, _ in names)
assert [loss for *_, loss in names] == [0.5, 5.0, 2.0], names
found = checkpointer.recover_if_possible(min_key="loss")
assert found.meta["loss"] == 0.5 and state.value == 5
assert float(model.weight[0, 0]) == 5.0
for step in range(2):
    state.value = 10 + step
    checkpointer.save_checkpoint(meta={"loss": step}, name="best")
    best = checkpointer.find_checkpoint()
    assert agree(best.path.name) == "CKPT+best" and best.meta["loss"] == step
    checkpointer.load_checkpoint(best)
    assert state.value == 10 + step
print("rank", dist.get_rank(), "done")
"""

# The same state with the host's own class, which waits for nobody.
ADDED = """
checkpointer = Checkpointer(folder, {"model": model})
add_state(checkpointer, "state", state)
for step in range(3):
    state.value = step + 1
    checkpointer.save_checkpoint(meta={"loss": step})
    state.value = 0
    found = checkpointer.recover_if_possible()
    assert agree([found.meta["loss"], state.value]) == [step, step + 1]
    dist.barrier()
print("rank", dist.get_rank(), "done")
"""


@pytest.mark.parametrize("body", [KEPT, ADDED], ids=["kept", "added"])
def test_ranks_list_and_load_the_same(on_two_ranks, late, tmp_path, body):
    script = tmp_path / "checkpoints.py"
    script.write_text(START + body)
    done = on_two_ranks(late, script, tmp_path / "save")
    assert done.stdout.count("done") == 2
