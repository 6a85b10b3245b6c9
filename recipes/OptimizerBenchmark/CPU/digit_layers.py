"""Layers that never see what an utterance is padded with."""

import torch
from speechbrain.nnet.CNN import Conv1d
from speechbrain.nnet.RNN import LSTM


def valid_frames(frames, size):
    """Mask [B, size], True for real frames."""
    return torch.arange(size, device=frames.device) < frames.unsqueeze(1)


class FrameBlock(torch.nn.Module):
    """A layer, a normalisation and an activation, of real frames alone.

    Arguments
    ---------
    layer : torch.nn.Module
        [B, T, C] -> [B, T, D].
    size : int
        D.
    norm : type
        Made with D; sees [N, D], the real frames of the batch.
    activation : type
        Made without arguments.
    dropout : float
        Share of values that are dropped in training.
    """

    def __init__(self, layer, size, norm, activation, dropout=0.0):
        super().__init__()
        self.layer = layer
        self.norm = norm(size)
        self.activation = activation()
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, hidden, valid):
        """[B, T, C], zero in the padding, to [B, T, D], zero there too."""
        hidden = self.layer(hidden)
        frames = self.activation(self.norm(hidden[valid]))
        result = hidden.new_zeros(hidden.shape)
        result[valid] = self.dropout(frames)
        return result


class ConvBlock(FrameBlock):
    """A convolution over time as a FrameBlock.

    Arguments
    ---------
    in_channels : int
        Values of a frame.
    channels : int
        Values of a frame of the result.
    kernel : int
        Frames that it sees.
    **settings
        Of FrameBlock.
    """

    def __init__(self, in_channels, channels, kernel, **settings):
        layer = Conv1d(
            channels,
            kernel,
            in_channels=in_channels,
            padding_mode="constant",
        )
        super().__init__(layer, channels, **settings)


class CRDNN(torch.nn.Module):
    """Convolutions, a bidirectional LSTM, a linear layer.

    Arguments
    ---------
    in_channels : int
        Values of a frame.
    channels : int
        Of a convolution.
    kernel : int
        Frames that a convolution sees.
    convolutions : int
        How many.
    neurons : int
        Of the LSTM, in each direction.
    lstm_layers : int
        How many.
    norm : type
        Normalisation, made with a size.
    activation : type
        Made without arguments.
    dropout : float
        Share of values that are dropped in training.
    """

    def __init__(
        self,
        in_channels,
        channels,
        kernel,
        convolutions,
        neurons,
        lstm_layers,
        norm,
        activation,
        dropout,
    ):
        super().__init__()
        kinds = {"norm": norm, "activation": activation, "dropout": dropout}
        sizes = [in_channels] + [channels] * convolutions
        self.convolutions = torch.nn.ModuleList(
            ConvBlock(a, b, kernel, **kinds)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.lstm = LSTM(
            neurons,
            input_size=channels,
            num_layers=lstm_layers,
            bidirectional=True,
        )
        self.output = FrameBlock(
            torch.nn.Linear(2 * neurons, channels), channels, **kinds
        )

    def forward(self, feats, frames):
        """[B, T, C] with `frames` real ones to [B, T, channels]."""
        valid = valid_frames(frames, feats.shape[1])
        for block in self.convolutions:
            feats = block(feats, valid)
        # Lengths make the LSTM skip the padding, backwards too.
        hidden, _ = self.lstm(feats, lengths=frames / feats.shape[1])
        # They also cut off frames that are padding in all items.
        return self.output(hidden, valid[:, : hidden.shape[1]])
