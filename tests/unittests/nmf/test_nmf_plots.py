"""Pictures show the numbers, in order, and leave pyplot alone."""

import sys

import pytest
import torch

from leanbrain.chart_style import to_png
from leanbrain.checks import UserError
from leanbrain.nmf.plots import (
    RANGE_DB,
    activations_figure,
    atoms_figure,
    centroid_order,
    centroids,
    use_figure,
)

W = torch.tensor([[0.1, 0.7, 0.2], [0.1, 0.2, 0.6], [0.8, 0.1, 0.2]])
BLOCKS = {"speech": slice(0, 2), "noise": slice(2, 3)}


def shown(axes):
    return torch.tensor(axes.images[0].get_array().tolist())


def test_the_centroid_is_the_mean_bin():
    wanted = [0.1 * 1 + 0.8 * 2, 0.2 + 0.2, 0.6 + 0.4]
    assert centroids(W).tolist() == pytest.approx(wanted)
    assert centroids(7 * W).tolist() == pytest.approx(wanted)


def test_order_is_by_centroid_within_each_block():
    assert centroid_order(W).tolist() == [1, 2, 0]
    assert centroid_order(W, BLOCKS).tolist() == [1, 0, 2]
    assert centroid_order(W[:, [0, 0, 1, 1]]).tolist() == [2, 3, 0, 1]


def test_atoms_are_shown_in_decibel_below_their_peak():
    axes = atoms_figure(W).axes[0]
    sorted_atoms = W[:, [1, 2, 0]]
    wanted = 20 * (sorted_atoms / sorted_atoms.amax(0)).log10()
    torch.testing.assert_close(shown(axes), wanted, rtol=0, atol=1e-4)
    assert axes.images[0].origin == "lower"


def test_what_is_far_below_the_peak_is_dark():
    axes = atoms_figure(torch.tensor([[1.0], [0.0]])).axes[0]
    assert shown(axes).flatten().tolist() == pytest.approx([0.0, -RANGE_DB])


def test_frequencies_are_in_kilohertz_if_the_rate_is_known():
    axes = atoms_figure(W, sample_rate=8000).axes[0]
    assert axes.get_ylim() == (0.0, 4.0)
    assert axes.get_ylabel() == "kHz"


def test_use_is_sorted_within_each_block_and_in_percent():
    share = torch.tensor([0.2, 0.8, 1.0])
    axes = use_figure(share, blocks=BLOCKS).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == pytest.approx([80.0, 20.0, 100.0])
    assert axes.get_ylim()[0] == 0.0
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names == ["speech", "noise"]


def test_activations_and_spectrum_share_the_time_axis():
    H = torch.eye(3)[[0, 0, 1, 2]]
    figure = activations_figure(
        H @ W.T, H, W, hop_length=10.0, sample_rate=8000
    )
    upper, lower = figure.axes[:2]
    assert upper.get_xlim() == lower.get_xlim() == (0.0, 0.04)
    # The lowest atom is the second, at work in the third frame.
    assert shown(lower)[0].tolist() == [-RANGE_DB, -RANGE_DB, 0.0, -RANGE_DB]
    assert shown(upper).shape == (3, 4)
    assert shown(upper).max() == 0.0


def test_silence_can_be_drawn():
    figure = activations_figure(torch.zeros(4, 3), torch.zeros(4, 3), W)
    assert shown(figure.axes[1]).unique().tolist() == [-RANGE_DB]


def test_shapes_must_fit():
    with pytest.raises(UserError, match=r"\(4, 2\), \(4, 3\) and \(3, 3\)"):
        activations_figure(torch.ones(4, 2), torch.ones(4, 3), W)


def test_figures_render_and_pyplot_is_not_used():
    before = "matplotlib.pyplot" in sys.modules
    for figure in (
        atoms_figure(W, blocks=BLOCKS),
        use_figure(W[0] / W[0].sum()),
        activations_figure(torch.ones(5, 3), torch.ones(5, 3), W),
    ):
        assert to_png(figure, dpi=40).startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == before
