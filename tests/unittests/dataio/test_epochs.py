"""Every way to build a loader advances the sampler, and finds it again."""

from functools import partial

import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import LoopedLoader, SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.sampler import DistributedSamplerWrapper
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter
from torch.utils.data import DataLoader

from leanbrain.checks import UserError
from leanbrain.dataio.loader import make_train_loader
from leanbrain.dataio.sampler import LanguageBatchSampler

COUNT, BATCHES = 60, 6


class Stop(Exception):
    """The run is interrupted."""


class Recorder(sb.Brain):
    """Notes which utterances it is given; stops where it is told to."""

    stop_at = None

    def compute_forward(self, batch, stage):
        return self.modules.m(torch.ones(1, 1))

    def compute_objectives(self, out, batch, stage):
        return out.square().mean()

    def on_stage_start(self, stage, epoch=None):
        self.epoch = epoch
        self.seen.setdefault(epoch, [])

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        self.seen[self.epoch].append(list(batch.id))
        if (self.epoch, self.step) == self.stop_at:
            self.checkpointer.save_checkpoint(end_of_epoch=False)
            raise Stop

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.checkpointer.save_checkpoint()


def kwargs(brain, data, sampler):
    return data, {"batch_sampler": sampler}


def workers(brain, data, sampler):
    return data, {"batch_sampler": sampler, "num_workers": 1}


def brains_own(brain, data, sampler):
    stage = sb.Stage.TRAIN
    return brain.make_dataloader(data, stage, batch_sampler=sampler), {}


def ours(brain, data, sampler):
    return make_train_loader(brain, data, sampler), {}


def saveable(brain, data, sampler):
    loader = SaveableDataLoader(
        data, batch_sampler=sampler, collate_fn=PaddedBatch
    )
    brain.checkpointer.add_recoverable("loader", loader)
    return loader, {}


def plain(brain, data, sampler):
    loader = DataLoader(data, batch_sampler=sampler, collate_fn=PaddedBatch)
    return loader, {}


def wrapped(brain, data, sampler):
    """As SpeechBrain does for the first of two ranks."""
    half = DistributedSamplerWrapper(sampler, num_replicas=2, rank=0)
    brain.train_sampler = half
    return data, {"batch_sampler": half}


def looped(brain, data, sampler):
    options = {"batch_sampler": sampler, "looped_nominal_epoch": 4}
    return data, options


WAYS = [kwargs, workers, brains_own, ours, saveable, plain, wrapped, looped]


def made(folder, way, **options):
    data = DynamicItemDataset({str(i): {"lang": "en"} for i in range(COUNT)})
    data.set_output_keys(["id", "lang"])
    counter = EpochCounter(4)
    brain = Recorder(
        {"m": torch.nn.Linear(1, 1)},
        partial(torch.optim.SGD, lr=0.1),
        {},
        {"device": "cpu", "noprogressbar": True},
        Checkpointer(folder, {"counter": counter}),
    )
    brain.seen = {}
    sampler = LanguageBatchSampler(
        [1.0] * COUNT, ["en"] * COUNT, 4.0, BATCHES, **options
    )
    loader, settings = way(brain, data, sampler)
    return brain, partial(brain.fit, counter, loader, None, None, settings)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_epoch_is_like_another_and_a_resumed_run_goes_on(tmp_path, way):
    straight, fit = made(tmp_path / "straight", way)
    fit()
    epochs = list(straight.seen.values())
    assert len(epochs) == 4
    assert all(a != b for a in epochs for b in epochs if a is not b)
    # A DataLoader of torch saves no place within an epoch.
    last = len(epochs[1])
    at = last if way is plain else 2
    broken, fit = made(tmp_path / "resumed", way)
    broken.stop_at = (2, at)
    with pytest.raises(Stop):
        fit()
    again, fit = made(tmp_path / "resumed", way)
    if way is plain:
        again.checkpointer.save_checkpoint = lambda: None
        epochs[1][:0] = epochs[1]  # begins its epoch anew
    fit()
    assert broken.seen == {1: epochs[0], 2: epochs[1][:at]}
    assert list(again.seen.values()) == [epochs[1][at:], *epochs[2:]]


@pytest.mark.parametrize("way", [kwargs, ours, wrapped, plain])
def test_later_fits_go_on(tmp_path, way):
    brain, fit = made(tmp_path, way)
    epochs = fit.args[0]
    seen = []
    for _ in range(4):
        brain.fit(range(1), *fit.args[1:])
        seen.append(brain.seen.pop(0))
    assert epochs.current == 0
    assert all(a != b for a in seen for b in seen if a is not b)


def test_epochs_from_zero_on(tmp_path):
    brain, fit = made(tmp_path, kwargs)
    brain.fit(range(5), *fit.args[1:])
    assert sorted(brain.seen) == [0, 1, 2, 3, 4]
    from_one, fit = made(tmp_path / "one", kwargs)
    fit()
    assert all(brain.seen[e] == from_one.seen[e] for e in (1, 2, 3, 4))
    assert brain.seen[0] not in from_one.seen.values()


def test_loops_without_a_brain_go_on():
    sampler = LanguageBatchSampler([1.0] * 9, ["en"] * 9, 3.0, 2)
    loader = DataLoader(range(9), batch_sampler=sampler, num_workers=1)
    passes = [[b.tolist() for b in loader] for _ in range(3)]
    assert passes == [list(sampler.batches(epoch)) for epoch in (1, 2, 3)]


def test_seeds_of_workers_are_those_of_the_epoch(tmp_path):
    """Also after a resume, which begins at a later epoch."""
    loaders = [made(tmp_path, ours)[1].args[1] for _ in range(2)]
    for epoch in (1, 2):
        loaders[0].batch_sampler.set_epoch(epoch)
        straight = next(iter(loaders[0])) and loaders[0].generator.get_state()
    loaders[1].batch_sampler.set_epoch(2)
    assert next(iter(loaders[1]))
    assert torch.equal(straight, loaders[1].generator.get_state())


def test_batches_that_ranks_would_lose_are_refused(tmp_path):
    _, fit = made(tmp_path, wrapped, rank=0, world_size=2)
    with pytest.raises(UserError, match="shares its batches out .*_size=2"):
        fit()
    _, fit = made(tmp_path, plain, rank=1, world_size=2)
    with pytest.raises(UserError, match="rank=0 and world_size=1, as this pr"):
        fit()


def test_looped_loaders_of_the_users_own(tmp_path):
    def own(brain, data, sampler):
        loader = plain(brain, data, sampler)[0]
        return LoopedLoader(loader, 3, lambda batch: 1), {}

    brain, fit = made(tmp_path, own)
    fit.args[1].batchsize_fn = lambda batch: 1
    fit()
    flat = [ids for epoch in brain.seen.values() for ids in epoch]
    sampler = LanguageBatchSampler([1.0] * COUNT, ["en"] * COUNT, 4.0, BATCHES)
    batches = [*sampler.batches(1), *sampler.batches(2)]
    assert flat == [[str(i) for i in batch] for batch in batches]
