"""Layers of PyTorch, aware of pathways; `convert` puts them in place.

They take the batch where the stock layer takes it: in the first dimension,
or in the second where a layer says `batch_first=False`.
"""

from __future__ import annotations

from torch import nn

from leanbrain.masking._rows import Rows, RowSpec
from leanbrain.masking.nnet._aware import MaskAware
from leanbrain.masking.nnet.attention import mask_rows

__all__: list[str] = []

_INPUT = RowSpec({"input": Rows()})
_CELL = RowSpec({"input": Rows(), "hx": Rows()})


class _Linear(MaskAware, nn.Linear):
    """`nn.Linear`, aware of pathways."""

    spec = _INPUT


class _Bilinear(MaskAware, nn.Bilinear):
    """`nn.Bilinear`, aware of pathways."""

    spec = RowSpec({"input1": Rows(), "input2": Rows()})


class _Conv1d(MaskAware, nn.Conv1d):
    """`nn.Conv1d`, aware of pathways."""

    spec = _INPUT


class _Conv2d(MaskAware, nn.Conv2d):
    """`nn.Conv2d`, aware of pathways."""

    spec = _INPUT


class _Conv3d(MaskAware, nn.Conv3d):
    """`nn.Conv3d`, aware of pathways."""

    spec = _INPUT


class _ConvTranspose1d(MaskAware, nn.ConvTranspose1d):
    """`nn.ConvTranspose1d`, aware of pathways."""

    spec = _INPUT


class _ConvTranspose2d(MaskAware, nn.ConvTranspose2d):
    """`nn.ConvTranspose2d`, aware of pathways."""

    spec = _INPUT


class _RNNCell(MaskAware, nn.RNNCell):
    """`nn.RNNCell`, aware of pathways."""

    spec = _CELL


class _LSTMCell(MaskAware, nn.LSTMCell):
    """`nn.LSTMCell`, aware of pathways."""

    spec = _CELL


class _GRUCell(MaskAware, nn.GRUCell):
    """`nn.GRUCell`, aware of pathways."""

    spec = _CELL


def _sequence(layer: nn.RNNBase) -> RowSpec:
    """Where a recurrent layer has rows."""
    batch, hidden = Rows(0 if layer.batch_first else 1), Rows(1)
    return RowSpec({"input": batch, "hx": hidden}, (batch, hidden))


class _RNN(MaskAware, nn.RNN):
    """`nn.RNN`, aware of pathways."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        return _sequence(self)


class _LSTM(MaskAware, nn.LSTM):
    """`nn.LSTM`, aware of pathways."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        return _sequence(self)


class _GRU(MaskAware, nn.GRU):
    """`nn.GRU`, aware of pathways."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        return _sequence(self)


class _MultiheadAttention(MaskAware, nn.MultiheadAttention):
    """`nn.MultiheadAttention`, aware of pathways."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        batch = Rows(0 if self.batch_first else 1)
        inputs = dict.fromkeys(("query", "key", "value"), batch)
        return RowSpec(
            {
                **inputs,
                "key_padding_mask": Rows(),
                "attn_mask": mask_rows,
            },
            (batch, Rows()),
        )


def _of_layer(layer: nn.Module, *states: str) -> RowSpec:
    """Where a layer of PyTorch's Transformer has rows."""
    batch = Rows(0 if layer.self_attn.batch_first else 1)  # type: ignore
    masks = {f"{x}_mask": mask_rows for x in states}
    padding = {f"{x}_key_padding_mask": Rows() for x in states}
    return RowSpec({**dict.fromkeys(states, batch), **masks, **padding}, batch)


class _TransformerEncoderLayer(MaskAware, nn.TransformerEncoderLayer):
    """As one layer: its fast path reads all weights past their `forward`."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        return _of_layer(self, "src")


class _TransformerDecoderLayer(MaskAware, nn.TransformerDecoderLayer):
    """`nn.TransformerDecoderLayer`, aware of pathways."""

    def row_spec(self) -> RowSpec:
        """Where it has rows, by its `batch_first`."""
        return _of_layer(self, "tgt", "memory")
