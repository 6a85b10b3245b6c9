"""The pictures of a front end: its atoms, and an utterance in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leanbrain.chart_style import to_png
from leanbrain.files import atomic_path
from leanbrain.nmf.features import NMFFeatures
from leanbrain.nmf.plots import activations_figure, atoms_figure

__all__ = ["write_figures"]


def write_figures(
    features: NMFFeatures,
    wav: Tensor,
    folder: str | os.PathLike[str],
    logger: Any = None,
    step: int = 0,
) -> list[Path]:
    """Writes atoms.png and activations.png, and shows them in TensorBoard.

    Arguments
    ---------
    features : NMFFeatures
        A trained front end.
    wav : Tensor
        An utterance, [time].
    folder : path
        Where the files go.
    logger : TensorBoardLogger | None
        Gets both as `front_end/atoms` and `front_end/activations`.
    step : int
        Under which step they are shown.

    Returns
    -------
    list
        The paths of both files.
    """
    rate = features.compute_STFT.sample_rate
    stride = features.get_filter_properties().stride
    with torch.no_grad():
        device = features.dictionary.atoms.device
        V = features.spectrum(wav[None].to(device))[0]
        H, W = features.activations(V), features.atoms
    options = {"blocks": features.dictionary.blocks, "sample_rate": rate}
    figures = {
        "atoms": atoms_figure(W, **options),
        "activations": activations_figure(
            V, H, W, hop_length=1000 * stride / rate, **options
        ),
    }
    paths = []
    for name, figure in figures.items():
        path = Path(folder) / f"{name}.png"
        with atomic_path(path) as temporary:
            temporary.write_bytes(to_png(figure))
        if logger is not None:
            logger.add_figure(f"front_end/{name}", figure, step)
        paths.append(path)
    return paths
