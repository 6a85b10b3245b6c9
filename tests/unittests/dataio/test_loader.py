"""make_train_loader: recoverable, with its own generator, for this rank."""

from types import SimpleNamespace

import pytest
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checks import UserError
from leanbrain.dataio.loader import make_train_loader
from leanbrain.dataio.sampler import LanguageBatchSampler


def parts(tmp_path, **ranks):
    sampler = LanguageBatchSampler(
        [1.0] * 6, ["en", "fr"] * 3, 2.0, batches_per_epoch=4, **ranks
    )
    rows = {str(i): {"lang": ["en", "fr"][i % 2]} for i in range(6)}
    data = DynamicItemDataset(rows, output_keys=["id", "lang"])
    brain = SimpleNamespace(checkpointer=Checkpointer(tmp_path))
    return brain, data, sampler


def test_batches_are_the_samplers_and_the_global_numbers_untouched(tmp_path):
    brain, data, sampler = parts(tmp_path)
    loader = make_train_loader(brain, data, sampler)
    assert brain.train_sampler is sampler
    assert "dataloader-TRAIN" in brain.checkpointer.recoverables
    before = torch.get_rng_state()
    got = [[int(i) for i in batch.id] for batch in loader]
    assert torch.equal(before, torch.get_rng_state())
    assert got == list(sampler.batches(1)) and len(got) == 4
    for batch in loader:
        assert len(set(batch.lang)) == 1


def test_a_sampler_of_another_rank_is_refused(tmp_path):
    with pytest.raises(UserError, match="rank=0 and world_size=1, as this"):
        make_train_loader(*parts(tmp_path, rank=1, world_size=2))
