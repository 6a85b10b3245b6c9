"""The pictures of a front end."""

import torch

from leanbrain.nmf import NMFFeatures
from leanbrain.nmf.figures import write_figures


class Board:
    """Notes what it is given."""

    def __init__(self):
        self.shown = []

    def add_figure(self, tag, figure, step):
        self.shown.append((tag, step))


def test_both_pictures_are_written_and_shown(tmp_path):
    generator = torch.Generator().manual_seed(0)
    wav = torch.randn(4000, generator=generator)
    features = NMFFeatures(n_atoms=5, sample_rate=8000, n_fft=256)
    features.dictionary.partial_fit(features.spectrum(wav[None]))
    board = Board()
    paths = write_figures(features, wav, tmp_path / "new", board, step=7)
    assert [path.name for path in paths] == ["atoms.png", "activations.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    tags = ["front_end/atoms", "front_end/activations"]
    assert board.shown == [(tag, 7) for tag in tags]
