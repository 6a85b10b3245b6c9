"""A dictionary on two ranks: the first learns, both have what it learnt."""

import pytest

pytestmark = pytest.mark.ddp

SCRIPT = """
import sys

import speechbrain as sb
import torch
import torch.distributed as dist

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.nmf import NMFDictionary

sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})
rank = dist.get_rank()
generator = torch.Generator().manual_seed(rank)
# Ranks with other batches, and one more: they would not save in step.
batches = [torch.rand(2, 5, 6, generator=generator) for _ in range(3 + rank)]
dictionary = NMFDictionary(n_bins=6, n_atoms=2)
progress = dictionary.fit(
    batches,
    lambda batch: (batch, None),
    max_epochs=2,
    checkpointer=SafeCheckpointer(sys.argv[1]),
    save_every_min=0.0,  # after every batch
    progress=False,
)
state = dictionary.state_dict()
both = [None, None]
dist.all_gather_object(both, [progress, state])
assert both[0][0] == both[1][0] and progress.step == 6, both
for name, value in both[0][1].items():
    assert torch.equal(value, both[1][1][name]), name
assert dictionary.is_trained
print("the same")
"""


def test_ranks_have_one_dictionary(on_two_ranks, late, tmp_path):
    script = tmp_path / "dictionary.py"
    script.write_text(SCRIPT)
    done = on_two_ranks(late, script, tmp_path / "save")
    assert done.stdout.count("the same") == 2
