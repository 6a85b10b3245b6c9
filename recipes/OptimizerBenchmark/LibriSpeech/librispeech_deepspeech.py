"""The network of AlgoPerf's DeepSpeech workload, of SpeechBrain's parts.

After arXiv 1412.5567: two convolutions, bidirectional LSTMs and feed-forward
layers, each behind a norm and, unless told otherwise, with a way around it.
"""

import torch
from librispeech_layers import (
    BatchNorm,
    LayerNorm,
    Subsampling,
    initialize,
    valid_frames,
)
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.RNN import LSTM


class Recurrent(torch.nn.Module):
    """A norm and a bidirectional LSTM.

    Arguments
    ---------
    size : int
        Features; each direction has half of them.
    norm : type
        `BatchNorm` or `LayerNorm`.
    """

    def __init__(self, size: int, norm: type[torch.nn.Module]) -> None:
        super().__init__()
        self.norm = norm(size)
        self.lstm = LSTM(
            hidden_size=size // 2,
            input_size=size,
            bidirectional=True,
            re_init=False,
        )

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps x [B, T, F] of which valid [B, T] frames are real."""
        total = x.shape[1]
        # Half a frame more: SpeechBrain rounds the product down.
        shares = (valid.sum(1) + 0.5) / total
        y, _ = self.lstm(self.norm(x, valid), lengths=shares)
        # Where all are padded, the LSTM drops the frames that no one has.
        return torch.nn.functional.pad(y, (0, 0, 0, total - y.shape[1]))


class Feed(torch.nn.Module):
    """A norm, a linear layer, an activation and dropout.

    Arguments
    ---------
    size : int
        Features.
    norm : type
        `BatchNorm` or `LayerNorm`.
    activation : type
        Class of the function behind the linear layer.
    dropout : float
        Share of the outputs.
    """

    def __init__(
        self,
        size: int,
        norm: type[torch.nn.Module],
        activation: type[torch.nn.Module],
        dropout: float,
    ) -> None:
        super().__init__()
        self.norm = norm(size)
        self.linear = Linear(input_size=size, n_neurons=size)
        self.activation = activation()
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps x [B, T, F] of which valid [B, T] frames are real."""
        x = self.activation(self.linear(self.norm(x, valid)))
        return self.dropout(x.masked_fill(~valid.unsqueeze(-1), 0.0))


class DeepSpeech(torch.nn.Module):
    """Features to logits of sentence pieces, a quarter of the frame rate.

    Arguments
    ---------
    n_features, vocabulary : int
        Mel bands in, pieces out.
    lstm_layers, feed_layers, size : int
        Layers of both kinds, and their features.
    activation : type
        Class of the function behind convolutions and linear layers.
    residual : bool
        Whether each layer's input is added to its output.
    layer_norm : bool
        Layer norm in every layer and none before the output, in place of
        batch norm in every layer and a layer norm before the output.
    dropout : float
        Behind the input and each feed-forward layer.
    """

    def __init__(
        self,
        n_features: int,
        vocabulary: int,
        lstm_layers: int,
        feed_layers: int,
        size: int,
        activation: type[torch.nn.Module],
        residual: bool,
        layer_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        norm = LayerNorm if layer_norm else BatchNorm
        self.residual = residual
        self.subsampling = Subsampling(n_features, size, activation)
        self.dropout = torch.nn.Dropout(dropout)
        self.layers = torch.nn.ModuleList(
            Recurrent(size, norm) for _ in range(lstm_layers)
        )
        self.layers.extend(
            Feed(size, norm, activation, dropout) for _ in range(feed_layers)
        )
        self.norm = None if layer_norm else LayerNorm(size)
        self.output = Linear(input_size=size, n_neurons=vocabulary)
        initialize(self)

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, T / 4, vocabulary] of x [B, T, n_features], lengths."""
        x, lengths = self.subsampling(x, lengths)
        x = self.dropout(x)
        valid = valid_frames(lengths, x.shape[1])
        for layer in self.layers:
            y = layer(x, valid)
            x = x + y if self.residual else y
        if self.norm is not None:
            x = self.norm(x, valid)
        return self.output(x), lengths
