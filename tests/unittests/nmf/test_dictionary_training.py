"""Training over a loader: resumes bit for bit, stops, keeps the best."""

import logging

import pytest
import torch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from speechbrain.utils.checkpoints import Checkpointer
from torch.utils.data import DataLoader

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.checks import UserError
from leanbrain.nmf.dictionary import NMFDictionary
from leanbrain.nmf.progress import Progress

BINS, ITEMS = 9, 12


def utterances(seed=0, items=ITEMS):
    g = torch.Generator().manual_seed(seed)
    H = torch.rand(items, 20, 4, generator=g).pow(4)
    return H @ torch.rand(4, BINS, generator=g).pow(3) + 1e-3


DATA, VALID = utterances(), utterances(1, 4)


def collate(indices):
    return list(indices)


def plain(**options):
    return DataLoader(range(ITEMS), 3, collate_fn=collate, **options)


LOADERS = {
    "in order": lambda: plain(),
    "list": lambda: [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]],
    "shuffled": lambda: plain(shuffle=True),
    "own generator": lambda: plain(
        shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "saveable": lambda: SaveableDataLoader(
        range(ITEMS), 3, collate_fn=collate, shuffle=True
    ),
    "speechbrain sampler": lambda: SaveableDataLoader(
        range(ITEMS),
        batch_size=3,
        collate_fn=collate,
        sampler=ReproducibleRandomSampler(range(ITEMS)),
    ),
    "workers": lambda: SaveableDataLoader(
        range(ITEMS), 3, collate_fn=collate, shuffle=True, num_workers=1
    ),
}


class Spectrum:
    """Counts batches, and breaks at one of them."""

    def __init__(self, fail_at=None, error=RuntimeError):
        self.seen, self.fail_at, self.error = [], fail_at, error

    def __call__(self, batch):
        if len(self.seen) == self.fail_at:
            raise self.error("power cut")
        self.seen.append(tuple(batch))
        return DATA[batch], torch.ones(len(batch))


def fit(loader, spectrum, folder=None, dictionary=None, **options):
    dictionary = dictionary or NMFDictionary(BINS, 3)
    options = {"max_epochs": 3, "save_every_min": 0, **options}
    if folder is not None:
        kind = options.pop("kind", SafeCheckpointer)
        options["checkpointer"] = kind(folder)
    progress = dictionary.fit(loader, spectrum, progress=False, **options)
    return dictionary, progress


def same(one, two):
    first, second = one.state_dict(), two.state_dict()
    assert first.keys() == second.keys()
    return all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("fail_at", [1, 6])
def test_a_run_that_broke_ends_as_if_it_had_not(kind, fail_at, tmp_path):
    whole, wanted = fit(LOADERS[kind](), straight := Spectrum())
    broken = Spectrum(fail_at)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(LOADERS[kind](), broken, tmp_path)
    torch.rand(5)  # the global generator is elsewhere in a new process
    resumed, progress = fit(LOADERS[kind](), rest := Spectrum(), tmp_path)
    assert broken.seen + rest.seen == straight.seen
    assert progress == wanted
    assert same(whole, resumed)


def test_the_checkpointer_of_something_else_is_refused(tmp_path):
    checkpointer = Checkpointer(tmp_path, {"model": torch.nn.Linear(2, 2)})
    dictionary = NMFDictionary(4, n_atoms=2)
    batch = torch.ones(1, 3, 4)
    with pytest.raises(UserError, match="also saves model"):
        dictionary.fit([batch], lambda x: (x, None), checkpointer=checkpointer)


@pytest.mark.parametrize("checkpointer", [Checkpointer, SafeCheckpointer])
def test_ctrl_c_saves_where_it_is(checkpointer, tmp_path):
    """Same process, same loader, which has already been iterated."""
    whole, _ = fit(LOADERS["saveable"](), Spectrum())
    loader, dictionary = LOADERS["saveable"](), NMFDictionary(BINS, 3)
    options = {"kind": checkpointer, "save_every_min": 60}
    broken = Spectrum(6, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(loader, broken, tmp_path, dictionary, **options)
    rest = Spectrum()
    fit(loader, rest, tmp_path, dictionary, **options)
    assert len(broken.seen) + len(rest.seen) == 12
    assert same(whole, dictionary)


def test_ctrl_c_in_the_middle_of_an_update(tmp_path, monkeypatch):
    whole, _ = fit(LOADERS["in order"](), Spectrum())
    put, calls = NMFDictionary._put, []

    def interrupted(self, columns, atoms, sums):
        calls.append(0)
        if len(calls) == 6:
            self.atoms = atoms * 2  # half of an update
            raise KeyboardInterrupt
        put(self, columns, atoms, sums)

    with monkeypatch.context() as patch:
        patch.setattr(NMFDictionary, "_put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(LOADERS["in order"](), Spectrum(), tmp_path, save_every_min=9)
    resumed, _ = fit(LOADERS["in order"](), Spectrum(), tmp_path)
    assert same(whole, resumed)


def test_a_finished_training_is_not_repeated_but_can_be_prolonged(tmp_path):
    whole, _ = fit(LOADERS["shuffled"](), Spectrum(), max_epochs=4)
    fit(LOADERS["shuffled"](), Spectrum(), tmp_path, max_epochs=2)
    again = Spectrum()
    _, progress = fit(LOADERS["shuffled"](), again, tmp_path, max_epochs=2)
    assert (again.seen, progress.reason) == ([], "max_epochs")
    longer, _ = fit(LOADERS["shuffled"](), again, tmp_path, max_epochs=4)
    assert len(again.seen) == 8
    assert same(whole, longer)


def test_epochs_of_a_shuffled_loader_differ_and_leave_the_generator():
    state = torch.get_rng_state()
    fit(LOADERS["shuffled"](), spectrum := Spectrum(), max_epochs=2)
    first, second = spectrum.seen[:4], spectrum.seen[4:]
    assert first != second
    assert sorted(sum(first, ())) == sorted(sum(second, ())) == [*range(ITEMS)]
    assert torch.equal(torch.get_rng_state(), state)


def wear_out(monkeypatch, divergences):
    """Validation gives these numbers, one by one."""
    left = iter(divergences)
    monkeypatch.setattr(
        NMFDictionary, "total", lambda self, rows, block: next(left) * len(rows)
    )


def test_it_stops_when_validation_stands_still_and_keeps_the_best(
    monkeypatch,
):
    wear_out(monkeypatch, [5.0, 3.0, 4.0, 3.5, 1.0])
    states, snapshot = [], NMFDictionary.snapshot
    monkeypatch.setattr(
        NMFDictionary,
        "snapshot",
        lambda self: states.append(snapshot(self)) or states[-1],
    )
    dictionary, progress = fit(
        LOADERS["list"](), Spectrum(), valid_loader=[[0]], max_epochs=9
    )
    assert progress.valid == [5.0, 3.0, 4.0, 3.5]
    assert (progress.reason, progress.epoch) == ("patience", 4)
    after_two = next(x for x in states if int(x["updates"].sum()) == 8)
    assert torch.equal(dictionary.atoms, after_two["atoms"])


def test_a_small_gain_is_none(monkeypatch):
    wear_out(monkeypatch, [5.0, 4.9, 4.8, 4.7, 4.0])
    _, progress = fit(
        LOADERS["list"](),
        Spectrum(),
        valid_loader=[[0]],
        max_epochs=9,
        min_gain=0.1,
    )
    assert progress.reason == "patience"
    assert progress.epoch == 3


def test_each_utterance_trains_its_own_block():
    """As two loaders, each with the frames of one block."""
    names = ["a", "b", "b"]
    dictionary = NMFDictionary(BINS, blocks={"a": 3, "b": 2})
    batches = LOADERS["list"]()
    fit(batches, Spectrum(), dictionary=dictionary, block_of=lambda b: names)
    alone = NMFDictionary(BINS, blocks={"a": 3, "b": 2})
    for _ in range(3):
        for batch in batches:
            alone.partial_fit(DATA[batch[:1]], block="a")
            alone.partial_fit(DATA[batch[1:]], block="b")
    assert same(dictionary, alone)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_epochs": 0}, "`max_epochs` must be an integer >= 1, got 0"),
        ({"patience": 0}, "`patience` must be an integer >= 1, got 0"),
        ({"min_gain": 1.0}, r"`min_gain` must be in \[0, 1\), got 1.0"),
        ({"save_every_min": -1}, "`save_every_min` must be a number >= 0"),
        ({"logger": 3}, "`logger` must be a TensorBoardLogger"),
        ({"valid_loader": []}, "`valid_loader` must give at least one frame"),
        ({"block_of": lambda b: "all"}, "a name for each of the 3 utterances"),
        ({"block_of": lambda b: ["all"]}, "each of the 3 .* got 1"),
        ({"block_of": lambda b: ["x"] * 3}, "must be one of all; got 'x'"),
        (
            {"dictionary": NMFDictionary(BINS, blocks={"a": 1, "b": 2})},
            "`block_of` must say which block",
        ),
    ],
)
def test_errors_are_one_sentence(options, said):
    with pytest.raises(UserError, match=said) as caught:
        fit(LOADERS["list"](), Spectrum(), **options)
    assert "\n" not in str(caught.value)


def test_an_empty_loader_is_an_error():
    with pytest.raises(UserError, match="`loader` must give at least one"):
        fit([], Spectrum())


def test_a_checkpoint_of_another_dictionary_is_refused(tmp_path):
    fit(LOADERS["list"](), Spectrum(), tmp_path, max_epochs=1)
    with pytest.raises(
        UserError, match="with 9 bins and 4 atoms .* 3 atoms"
    ) as caught:
        fit(
            LOADERS["list"](),
            Spectrum(),
            tmp_path,
            dictionary=NMFDictionary(BINS, 4),
        )
    assert "\n" not in str(caught.value)


def test_only_the_newest_checkpoint_is_kept(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    fit(LOADERS["list"](), Spectrum(), tmp_path)
    assert len([*tmp_path.glob("CKPT*")]) == 1
    assert not caplog.records


def test_progress_begins_empty():
    assert Progress().reason == ""
