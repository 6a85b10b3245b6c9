"""What a training of a dictionary writes for TensorBoard."""

import pytest
import torch

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.nmf.dictionary import NMFDictionary

DATA = torch.rand(12, 20, 9, generator=torch.Generator().manual_seed(0))
LOADER = torch.arange(12).view(4, 3).tolist()


class Spectrum:
    """Breaks at one of the batches."""

    def __init__(self, fail_at=None):
        self.seen, self.fail_at = 0, fail_at

    def __call__(self, batch):
        if self.seen == self.fail_at:
            raise RuntimeError("power cut")
        self.seen += 1
        return DATA[batch], torch.ones(len(batch))


def fit(spectrum, folder=None, **options):
    options = {"max_epochs": 3, "save_every_min": 0, **options}
    if folder is not None:
        options["checkpointer"] = SafeCheckpointer(folder)
    dictionary = NMFDictionary(9, 3)
    return dictionary.fit(LOADER, spectrum, progress=False, **options)


class Board:
    """Keeps what a logger is given."""

    def __init__(self):
        self.scalars, self.figures = [], []

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, step, float(value)))

    def add_figure(self, tag, figure, step):
        self.figures.append((tag, step))


def test_what_the_logger_gets():
    board = Board()
    progress = fit(
        Spectrum(),
        valid_loader=[[0]],
        max_epochs=2,
        logger=board,
    )
    train = [s for tag, s, _ in board.scalars if tag == "train/divergence"]
    assert train == [*range(1, 9)]
    valid = [x for x in board.scalars if x[0] == "valid/divergence"]
    assert [x[1] for x in valid] == [4, 8]
    assert [x[2] for x in valid] == progress.valid
    assert sum(tag == "dictionary/dead_atoms" for tag, *_ in board.scalars) == 2
    assert board.figures == [
        (f"dictionary/{name}", step)
        for step in (4, 8)
        for name in ("atoms", "use")
    ]


def test_tensorboard_is_continuous_after_a_resume(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    from leanbrain.board import TensorBoardLogger

    with pytest.raises(RuntimeError, match="power cut"):
        board = TensorBoardLogger(tmp_path / "board")
        fit(Spectrum(6), tmp_path / "save", logger=board)
    board.close()
    board = TensorBoardLogger(tmp_path / "board")
    fit(Spectrum(), tmp_path / "save", logger=board)
    board.close()
    found = EventAccumulator(str(tmp_path / "board"))
    found.Reload()
    steps = [x.step for x in found.Scalars("train/divergence")]
    assert steps == [*range(1, 13)]
