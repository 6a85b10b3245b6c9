"""A Conformer with the normalisation after each residual sum, or before."""

import torch
from digit_layers import valid_frames
from speechbrain.lobes.models.transformer.Conformer import (
    ConformerEncoderLayer,
)
from speechbrain.nnet.attention import RelPosEncXL
from torch.nn.functional import glu, linear


class ConformerLayer(ConformerEncoderLayer):
    """SpeechBrain's layer; places the normalisation, warms the attention.

    Arguments
    ---------
    norm_first : bool
        Whether each part normalises its input, as in SpeechBrain. Otherwise
        the sum of a part and what goes around it is normalised, which makes
        gradients large at the start of training: it needs warm-up
        (arXiv 2002.04745).
    attention_temperature : float
        Factor on the scores of attention, before the softmax.
    **settings
        As for ConformerEncoderLayer.
    """

    def __init__(self, norm_first, attention_temperature, **settings):
        super().__init__(**settings)
        self.norm_first = norm_first
        self.mha_layer.scale *= attention_temperature
        if not norm_first:
            # The last part needs one normalisation, and has norm2.
            self.ffn_module2[0] = torch.nn.Identity()

    def forward(self, x, padding, positions):
        """[B, T, C] with a mask of the padding [B, T] to the same."""
        first, last = self.ffn_module1, self.ffn_module2
        parts = (
            (first[0], lambda y: 0.5 * first[2](first[1](y))),
            (self.norm1, lambda y: self.attend(y, padding, positions)),
            (
                self.convolution_module.layer_norm,
                lambda y: self.convolve(y, padding),
            ),
        )
        for norm, part in parts:
            x = x + part(norm(x)) if self.norm_first else norm(x + part(x))
        return self.norm2(x + 0.5 * last(x))

    def attend(self, x, padding, positions):
        """Attention over the real frames."""
        return self.mha_layer(
            x, x, x, key_padding_mask=padding, pos_embs=positions
        )[0]

    def convolve(self, x, padding):
        """The convolution module without what SpeechBrain lets in.

        Its depthwise convolution sees the padding, which the gate before it
        fills with other values than zero.
        """
        module = self.convolution_module
        # A convolution over one frame is a linear layer, and faster as one.
        point = module.bottleneck[0]
        x = glu(linear(x, point.weight.squeeze(-1), point.bias))
        x = x.masked_fill(padding.unsqueeze(-1), 0.0)
        x = module.conv(x.transpose(1, 2)).transpose(1, 2)
        return module.after_conv(x)


class Conformer(torch.nn.Module):
    """A linear layer on the features, then Conformer layers.

    Arguments
    ---------
    in_channels : int
        Values of a frame.
    layers : int
        How many.
    d_model : int
        Values of a frame inside.
    dropout : float
        Share of values that are dropped in training.
    **settings
        As for ConformerLayer.
    """

    def __init__(self, in_channels, layers, d_model, dropout, **settings):
        super().__init__()
        self.input = torch.nn.Linear(in_channels, d_model)
        self.positions = RelPosEncXL(d_model)
        self.dropout = torch.nn.Dropout(dropout)
        self.layers = torch.nn.ModuleList(
            ConformerLayer(d_model=d_model, dropout=dropout, **settings)
            for _ in range(layers)
        )

    def forward(self, feats, frames):
        """[B, T, C] with `frames` real ones to [B, T, d_model]."""
        padding = ~valid_frames(frames, feats.shape[1])
        hidden = self.dropout(self.input(feats))
        positions = self.positions(hidden)
        for layer in self.layers:
            hidden = layer(hidden, padding, positions)
        return hidden
