"""Convolutions of SpeechBrain, aware of pathways."""

from speechbrain.nnet import CNN

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d"]

_SPEC = RowSpec({"x": Rows()})


class Conv1d(MaskAware, CNN.Conv1d):
    """Stands in a YAML where `speechbrain.nnet.CNN.Conv1d` stood.

    Example
    -------
    >>> import torch
    >>> layer = Conv1d(out_channels=4, kernel_size=3, in_channels=2)
    >>> layer(torch.rand(2, 9, 2)).shape
    torch.Size([2, 9, 4])
    """

    spec = _SPEC


class Conv2d(MaskAware, CNN.Conv2d):
    """Stands in a YAML where `speechbrain.nnet.CNN.Conv2d` stood.

    Example
    -------
    >>> import torch
    >>> layer = Conv2d(out_channels=4, kernel_size=(3, 3), in_channels=2)
    >>> layer(torch.rand(2, 9, 8, 2)).shape
    torch.Size([2, 9, 8, 4])
    """

    spec = _SPEC


class ConvTranspose1d(MaskAware, CNN.ConvTranspose1d):
    """Stands in a YAML where `speechbrain.nnet.CNN.ConvTranspose1d` stood.

    Example
    -------
    >>> import torch
    >>> layer = ConvTranspose1d(out_channels=4, kernel_size=3, in_channels=2)
    >>> layer(torch.rand(2, 9, 2)).shape
    torch.Size([2, 11, 4])
    """

    spec = _SPEC
