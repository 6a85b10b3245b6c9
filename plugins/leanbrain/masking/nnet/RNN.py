"""Recurrent layers of SpeechBrain, aware of pathways.

Results that are packed by length are as long as the longest utterance of the
batch; a group of rows may be shorter, and is filled up with zeros.
"""

from __future__ import annotations

from typing import Any

from speechbrain.nnet import RNN as stock

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware

__all__ = [
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "LiGRU",
    "LiGRU_Layer",
    "RNN",
    "RNNCell",
    "SLiGRU",
    "SLiGRU_Layer",
]

# Hidden states are [layers, B, H].
_HIDDEN = Rows(1)
_SEQUENCE = RowSpec(
    {"x": Rows(), "hx": _HIDDEN, "lengths": Rows()},
    outputs=(Rows(), _HIDDEN),
    ragged=1,
)
_CELL = RowSpec({"x": Rows(), "hx": _HIDDEN}, outputs=(Rows(), _HIDDEN))
# Layers in both directions hold the batch twice, one behind the other.
_LIGHT = RowSpec({"x": Rows(), "hx": Rows(tiled=True)})


class RNN(MaskAware, stock.RNN):
    """Stands in a YAML where `speechbrain.nnet.RNN.RNN` stood.

    Example
    -------
    >>> import torch
    >>> layer = RNN(hidden_size=4, input_size=3)
    >>> layer(torch.rand(2, 5, 3))[0].shape
    torch.Size([2, 5, 4])
    """

    spec = _SEQUENCE


class LSTM(MaskAware, stock.LSTM):
    """Stands in a YAML where `speechbrain.nnet.RNN.LSTM` stood.

    Example
    -------
    >>> import torch
    >>> layer = LSTM(hidden_size=4, input_size=3, bidirectional=True)
    >>> layer(torch.rand(2, 5, 3))[0].shape
    torch.Size([2, 5, 8])
    """

    spec = _SEQUENCE


class GRU(MaskAware, stock.GRU):
    """Stands in a YAML where `speechbrain.nnet.RNN.GRU` stood.

    Example
    -------
    >>> import torch
    >>> layer = GRU(hidden_size=4, input_size=3)
    >>> layer(torch.rand(2, 5, 3))[0].shape
    torch.Size([2, 5, 4])
    """

    spec = _SEQUENCE


class RNNCell(MaskAware, stock.RNNCell):
    """Stands in a YAML where `speechbrain.nnet.RNN.RNNCell` stood.

    Example
    -------
    >>> import torch
    >>> RNNCell(hidden_size=4, input_size=3)(torch.rand(2, 3))[0].shape
    torch.Size([2, 4])
    """

    spec = _CELL


class LSTMCell(MaskAware, stock.LSTMCell):
    """Stands in a YAML where `speechbrain.nnet.RNN.LSTMCell` stood.

    Example
    -------
    >>> import torch
    >>> LSTMCell(hidden_size=4, input_size=3)(torch.rand(2, 3))[0].shape
    torch.Size([2, 4])
    """

    spec = _CELL


class GRUCell(MaskAware, stock.GRUCell):
    """Stands in a YAML where `speechbrain.nnet.RNN.GRUCell` stood.

    Example
    -------
    >>> import torch
    >>> GRUCell(hidden_size=4, input_size=3)(torch.rand(2, 3))[0].shape
    torch.Size([2, 4])
    """

    spec = _CELL


class LiGRU_Layer(MaskAware, stock.LiGRU_Layer):
    """One layer of `LiGRU`."""

    spec = _LIGHT


class SLiGRU_Layer(MaskAware, stock.SLiGRU_Layer):
    """One layer of `SLiGRU`."""

    spec = _LIGHT


class LiGRU(stock.LiGRU):
    """Stands in a YAML where `speechbrain.nnet.RNN.LiGRU` stood.

    Its layers are aware one by one: the stock layer's hidden states of both
    directions mix utterances, which only the whole batch can do.

    Example
    -------
    >>> import torch
    >>> layer = LiGRU(hidden_size=4, input_shape=(2, 5, 3))
    >>> layer(torch.rand(2, 5, 3))[0].shape
    torch.Size([2, 5, 4])
    """

    def _init_layers(self) -> Any:
        layers = super()._init_layers()
        for layer in layers:
            layer.__class__ = LiGRU_Layer
        return layers


class SLiGRU(stock.SLiGRU):
    """Stands in a YAML where `speechbrain.nnet.RNN.SLiGRU` stood.

    Example
    -------
    >>> import torch
    >>> layer = SLiGRU(hidden_size=4, input_shape=(2, 5, 3))
    >>> layer(torch.rand(2, 5, 3))[0].shape
    torch.Size([2, 5, 4])
    """

    def _init_layers(self) -> Any:
        layers = super()._init_layers()
        for layer in layers:
            layer.__class__ = SLiGRU_Layer
        return layers
