"""Pictures of dictionaries and activations, as Figures without pyplot."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from leanbrain.chart_style import LIGHT, Theme, dress, new_figure
from leanbrain.checks import UserError, check_positive

__all__ = [
    "activations_figure",
    "atoms_figure",
    "centroid_order",
    "centroids",
    "use_figure",
]

RANGE_DB = 60.0  # below its maximum, a picture is dark


def centroids(W: Tensor) -> Tensor:
    """Mean frequency of every atom, weighted by its entries.

    Arguments
    ---------
    W : Tensor
        Dictionary [F, K], no column all zero.

    Returns
    -------
    Tensor
        [K], float64, in bins.

    Example
    -------
    >>> centroids(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    tensor([0.5000, 2.0000], dtype=torch.float64)
    """
    W = W.detach().double()
    bins = torch.arange(len(W), dtype=W.dtype, device=W.device)
    return bins @ W / W.sum(0)


def centroid_order(
    W: Tensor, blocks: Mapping[str, slice] | None = None
) -> Tensor:
    """Atoms from low to high, block by block.

    Arguments
    ---------
    W : Tensor
        Dictionary [F, K].
    blocks : Mapping | None
        Where the atoms of each block are; None is one block.

    Returns
    -------
    Tensor
        Indices [K] on the CPU; of equal atoms the first comes first.
    """
    place = centroids(W).cpu()
    parts = blocks.values() if blocks else [slice(0, len(place))]
    return torch.cat(
        [part.start + torch.argsort(place[part], stable=True) for part in parts]
    )


def atoms_figure(
    W: Tensor,
    *,
    blocks: Mapping[str, slice] | None = None,
    sample_rate: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws all atoms, sorted by centroid.

    Arguments
    ---------
    W : Tensor
        Dictionary [F, K], of magnitudes.
    blocks : Mapping | None
        Where the atoms of each block are; a line is drawn between blocks.
    sample_rate : float | None
        In Hz, for an axis in kHz; None counts bins.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        Level in dB below the maximum of each atom.

    Example
    -------
    >>> figure = atoms_figure(torch.eye(4)[:, [2, 0, 1]])
    >>> figure.axes[0].images[0].get_array().argmax(0).tolist()
    [0, 1, 2]
    """
    order = centroid_order(W, blocks)
    atoms = W.detach().double().cpu()[:, order]
    figure = new_figure(6.4, 3.4, theme)
    axes = figure.add_subplot()
    top = _top(len(W), sample_rate)
    _image(axes, atoms / atoms.amax(0), top, theme, "dB below the atom's peak")
    dress(axes, f"{W.shape[1]} atoms by centroid", theme)
    axes.set_xlabel("atom")
    axes.set_ylabel("frequency (bin)" if sample_rate is None else "kHz")
    _mark_blocks(axes, blocks, theme)
    return figure


def use_figure(
    share: Tensor,
    *,
    blocks: Mapping[str, slice] | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws how much each atom is used, most used first, block by block.

    Arguments
    ---------
    share : Tensor
        Share of every atom in the activations, [K].
    blocks : Mapping | None
        Where the atoms of each block are.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        Bars that begin at zero, and the mean as a dashed line.
    """
    share = 100 * share.detach().double().cpu()
    parts = blocks.values() if blocks else [slice(0, len(share))]
    sorted_share = torch.cat(
        [share[part].sort(descending=True).values for part in parts]
    )
    figure = new_figure(6.4, 2.6, theme)
    axes = figure.add_subplot()
    dress(axes, "use of the atoms", theme)
    axes.bar(
        range(len(share)),
        sorted_share.tolist(),
        width=0.86,
        color=theme.colour(0),
    )
    axes.axhline(
        float(share.mean()), color=theme.colour(1), linestyle="--", linewidth=1
    )
    axes.set_xlim(-0.6, len(share) - 0.4)
    axes.set_xlabel("atom, most used first")
    axes.set_ylabel("share of activations (%)")
    _mark_blocks(axes, blocks, theme)
    return figure


def activations_figure(
    V: Tensor,
    H: Tensor,
    W: Tensor,
    *,
    blocks: Mapping[str, slice] | None = None,
    hop_length: float | None = None,
    sample_rate: float | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Draws the spectrum of an utterance and its activations below.

    Arguments
    ---------
    V : Tensor
        Spectrum [T, F], of magnitudes.
    H : Tensor
        Activations [T, K].
    W : Tensor
        Dictionary [F, K]; its centroids sort the activations.
    blocks : Mapping | None
        Where the atoms of each block are.
    hop_length : float | None
        Distance of frames in milliseconds, for an axis in seconds.
    sample_rate : float | None
        In Hz, for an axis in kHz.
    theme : Theme
        The colours.

    Returns
    -------
    Figure
        Two pictures with one time axis.

    Raises
    ------
    UserError
        If the shapes do not belong together.
    """
    if V.shape != (len(H), len(W)) or H.shape != (len(V), W.shape[1]):
        raise UserError(
            "`V` [T, F], `H` [T, K] and `W` [F, K] must be of one utterance "
            f"and dictionary, got {tuple(V.shape)}, {tuple(H.shape)} and "
            f"{tuple(W.shape)}."
        )
    order = centroid_order(W, blocks)
    figure = new_figure(6.4, 5.2, theme)
    upper, lower = figure.subplots(2, 1, sharex=True)
    end = float(len(V))
    if hop_length is not None:
        end = len(V) * check_positive("hop_length", hop_length) / 1000
    spectrum = V.detach().double().cpu().T
    top = _top(len(W), sample_rate)
    label = "dB below the maximum"
    _image(upper, _relative(spectrum), top, theme, label, end)
    dress(upper, "spectrum", theme)
    upper.set_ylabel("frequency (bin)" if sample_rate is None else "kHz")
    active = H.detach().double().cpu().T[order]
    _image(lower, _relative(active), W.shape[1], theme, label, end)
    dress(lower, "activations, atoms by centroid", theme)
    lower.set_ylabel("atom")
    lower.set_xlabel("frame" if hop_length is None else "time (s)")
    return figure


def _top(bins: int, sample_rate: float | None) -> float:
    """Upper end of an axis of frequency."""
    if sample_rate is None:
        return bins
    return check_positive("sample_rate", sample_rate) / 2000


def _relative(X: Tensor) -> Tensor:
    """By the maximum, if there is one."""
    return X / X.max().clamp_min(1e-300) if X.numel() else X


def _image(
    axes: Axes,
    X: Tensor,
    top: float,
    theme: Theme,
    label: str,
    end: float | None = None,
) -> None:
    """Draws magnitudes in dB, low frequencies below."""
    decibel = 20 * X.clamp_min(10 ** (-RANGE_DB / 20)).log10()
    image = axes.imshow(
        decibel.numpy(),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0.0,
        extent=(0.0, X.shape[1] if end is None else end, 0.0, top),
    )
    bar = axes.figure.colorbar(image, ax=axes)
    bar.set_label(label, color=theme.ink, fontsize=8)
    bar.ax.tick_params(colors=theme.ink, labelsize=8)
    bar.outline.set_visible(False)


def _mark_blocks(
    axes: Axes, blocks: Mapping[str, slice] | None, theme: Theme
) -> None:
    """Lines between blocks, and their names below."""
    if not blocks or len(blocks) < 2:
        return
    left, right = axes.get_xlim()
    for part in blocks.values():
        if part.start:
            place = part.start + left
            axes.axvline(place, color=theme.colour(1), linewidth=1.2)
    middles = [left + (x.start + x.stop) / 2 for x in blocks.values()]
    axes.set_xticks(middles, list(blocks))
    axes.set_xlim(left, right)
