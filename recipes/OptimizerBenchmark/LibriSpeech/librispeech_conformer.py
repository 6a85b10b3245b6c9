"""The Conformer of AlgoPerf's LibriSpeech workload, of SpeechBrain's parts.

arXiv 2005.08100 with absolute positions, a learned scale of the queries and
a batch norm in the convolution. All biases, gains and shapes are AlgoPerf's,
so that the number of parameters is.
"""

import torch
from librispeech_layers import (
    BatchNorm,
    LayerNorm,
    Subsampling,
    initialize,
    valid_frames,
)
from speechbrain.lobes.models.transformer.Transformer import PositionalEncoding
from speechbrain.nnet.attention import PositionalwiseFeedForward
from speechbrain.nnet.linear import Linear
from torch.nn import functional


class SelfAttention(torch.nn.Module):
    """Attention over all real frames, the queries scaled by a learned vector.

    Arguments
    ---------
    size, heads : int
        Features, and how many heads share them.
    temperature : float
        Factor of what the heads give. AlgoPerf's variant of that name
        multiplies the output, not the scores.
    """

    def __init__(self, size: int, heads: int, temperature: float) -> None:
        super().__init__()
        self.heads, self.temperature = heads, temperature
        self.project = Linear(input_size=size, n_neurons=3 * size)
        self.scale = torch.nn.Parameter(torch.zeros(size // heads))
        self.output = Linear(input_size=size, n_neurons=size)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps x [B, T, F]; frames that are not valid [B, T] are not seen."""
        shape = (*x.shape[:2], 3, self.heads, -1)
        query, key, value = self.project(x).view(shape).unbind(2)
        # Softplus of zero is log 2: the scale starts at one.
        scale = functional.softplus(self.scale) / torch.log(
            torch.full_like(self.scale, 2.0)
        )
        found = functional.scaled_dot_product_attention(
            (query * scale).transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=valid[:, None, None, :],
        )
        found = found.transpose(1, 2).flatten(2)
        return self.output(self.temperature * found)


class Convolution(torch.nn.Module):
    """A gated convolution over time, one filter per channel.

    Arguments
    ---------
    size, kernel : int
        Channels, and frames that a filter sees.
    activation : type
        Class of the function behind the batch norm.
    """

    def __init__(
        self, size: int, kernel: int, activation: type[torch.nn.Module]
    ) -> None:
        super().__init__()
        self.gate = Linear(input_size=size, n_neurons=2 * size)
        self.filters = torch.nn.Conv1d(
            size, size, kernel, padding="same", groups=size, bias=False
        )
        self.norm = BatchNorm(size)
        self.activation = activation()
        self.output = Linear(input_size=size, n_neurons=size)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps x [B, T, F]; frames that are not valid [B, T] count as zero."""
        x = functional.glu(self.gate(x))
        x = x.masked_fill(~valid.unsqueeze(-1), 0.0)
        x = self.filters(x.transpose(1, 2)).transpose(1, 2)
        return self.output(self.activation(self.norm(x, valid)))


class Block(torch.nn.Module):
    """Half a feed-forward step, attention, convolution, the other half.

    Arguments
    ---------
    size, heads, kernel, factor : int
        Features, attention heads, frames of the convolution, and how many
        times wider the feed-forward layers are.
    activation : type
        Class of the function in feed-forward and convolution.
    temperature : float
        As of `SelfAttention`.
    post_norm : bool
        Whether a layer norm ends the block.
    dropout : float
        Behind each of the four parts.
    """

    def __init__(
        self,
        size: int,
        heads: int,
        kernel: int,
        factor: int,
        activation: type[torch.nn.Module],
        temperature: float,
        post_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.feed = torch.nn.ModuleList(
            PositionalwiseFeedForward(
                d_ffn=factor * size, input_size=size, activation=activation
            )
            for _ in range(2)
        )
        self.attention = SelfAttention(size, heads, temperature)
        self.convolution = Convolution(size, kernel, activation)
        self.norms = torch.nn.ModuleList(LayerNorm(size) for _ in range(4))
        self.post_norm = LayerNorm(size) if post_norm else None
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Maps x [B, T, F] of which valid [B, T] frames are real."""
        norms = self.norms
        x = x + 0.5 * self.dropout(self.feed[0](norms[0](x, valid)))
        x = x + self.dropout(self.attention(norms[1](x, valid), valid))
        x = x + self.dropout(self.convolution(norms[2](x, valid), valid))
        x = x + 0.5 * self.dropout(self.feed[1](norms[3](x, valid)))
        return x if self.post_norm is None else self.post_norm(x, valid)


class Conformer(torch.nn.Module):
    """Features to logits of sentence pieces, a quarter of the frame rate.

    Arguments
    ---------
    n_features, vocabulary : int
        Mel bands in, pieces out.
    layers, size, heads, kernel, factor : int
        Blocks, and what they are made of (see `Block`).
    activation : type
        Class of the function in the blocks.
    temperature : float
        Factor of the attention's output.
    post_norm : bool
        Whether a layer norm ends each block.
    dropout : float
        Behind the input and each part of a block.
    """

    def __init__(
        self,
        n_features: int,
        vocabulary: int,
        layers: int,
        size: int,
        heads: int,
        kernel: int,
        factor: int,
        activation: type[torch.nn.Module],
        temperature: float,
        post_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.subsampling = Subsampling(n_features, size)
        self.positions = PositionalEncoding(size)
        self.dropout = torch.nn.Dropout(dropout)
        self.blocks = torch.nn.ModuleList(
            Block(
                size,
                heads,
                kernel,
                factor,
                activation,
                temperature,
                post_norm,
                dropout,
            )
            for _ in range(layers)
        )
        self.norm = LayerNorm(size)
        self.output = Linear(input_size=size, n_neurons=vocabulary)
        initialize(self)

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B, T / 4, vocabulary] of x [B, T, n_features], lengths."""
        x, lengths = self.subsampling(x, lengths)
        x = self.dropout(x + self.positions(x))
        valid = valid_frames(lengths, x.shape[1])
        for block in self.blocks:
            x = block(x, valid)
        return self.output(self.norm(x, valid)), lengths
