"""Layers that both networks of LibriSpeech share; all are blind to padding.

Lengths are whole numbers of frames [B]; `valid` [B, T] is True for real
frames. Gains of the norms are stored as what they differ from one by, as in
AlgoPerf: weight decay then draws them to one and not to zero.
"""

import torch
import torch.distributed as dist
from speechbrain.nnet.CNN import Conv2d
from speechbrain.nnet.linear import Linear
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional


def valid_frames(lengths: torch.Tensor, total: int) -> torch.Tensor:
    """Which of `total` frames are real.

    Example
    -------
    >>> valid_frames(torch.tensor([1, 2]), 2).tolist()
    [[True, False], [True, True]]
    """
    frames = torch.arange(total, device=lengths.device)
    return frames < lengths.unsqueeze(1)


def halved(lengths: torch.Tensor) -> torch.Tensor:
    """Frames left of a stride of two.

    Example
    -------
    >>> halved(torch.tensor([4, 5])).tolist()
    [2, 3]
    """
    return (lengths + 1) // 2


def initialize(module: torch.nn.Module) -> None:
    """Xavier's uniform draw for every linear and convolution; biases zero."""
    for part in module.modules():
        if isinstance(
            part, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d
        ):
            torch.nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                torch.nn.init.zeros_(part.bias)


class LayerNorm(torch.nn.Module):
    """Layer normalisation whose gain is stored less one.

    Arguments
    ---------
    size : int
        Features.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(size))
        self.bias = torch.nn.Parameter(torch.zeros(size))

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Normalises each frame of x [B, T, F]; `valid` changes nothing."""
        return functional.layer_norm(
            x, self.gain.shape, 1 + self.gain, self.bias, eps=1e-6
        )


class BatchNorm(torch.nn.Module):
    """Batch normalisation over the real frames of all ranks.

    Two ranks with half the batch each compute what one with all of it does.

    Arguments
    ---------
    size : int
        Features.
    """

    MOMENTUM = 1e-3
    EPSILON = 1e-3

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(size))
        self.bias = torch.nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Normalises x [B, T, F]; what is not valid [B, T] becomes zero."""
        padding = ~valid.unsqueeze(-1)
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = self._of_batch(x.to(mean.dtype), padding)
            with torch.no_grad():
                self.mean.lerp_(mean, self.MOMENTUM)
                self.variance.lerp_(variance, self.MOMENTUM)
        gain = (1 + self.gain) * torch.rsqrt(variance + self.EPSILON)
        return ((x - mean) * gain + self.bias).masked_fill(padding, 0.0)

    def _of_batch(
        self, x: torch.Tensor, padding: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance [F] over the real frames of every rank."""
        count = over_ranks((~padding).sum().to(x.dtype))
        total = over_ranks(x.masked_fill(padding, 0.0).sum((0, 1)))
        mean = total / count
        apart = (x - mean).masked_fill(padding, 0.0)
        return mean, over_ranks(apart.square().sum((0, 1))) / count


def over_ranks(x: torch.Tensor) -> torch.Tensor:
    """Adds up a tensor over all ranks; gradients pass."""
    alone = not dist.is_initialized() or dist.get_world_size() == 1
    return x if alone else all_reduce(x)


class Subsampling(torch.nn.Module):
    """Two convolutions of stride two over time and frequency, then linear.

    Arguments
    ---------
    n_features : int
        Mel bands.
    size : int
        Channels, and features of the output.
    activation : type
        Class of the function after each convolution.
    """

    def __init__(
        self,
        n_features: int,
        size: int,
        activation: type[torch.nn.Module] = torch.nn.ReLU,
    ) -> None:
        super().__init__()
        self.convolutions = torch.nn.ModuleList(
            Conv2d(
                in_channels=channels,
                out_channels=size,
                kernel_size=(3, 3),
                stride=(2, 2),
                padding_mode="constant",
            )
            for channels in (1, size)
        )
        self.activation = activation()
        bands = (n_features + 3) // 4
        self.linear = Linear(input_size=bands * size, n_neurons=size)

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turns x [B, T, n_features] into [B, T / 4, size], lengths too."""
        x = x.unsqueeze(-1)
        for convolution in self.convolutions:
            padding = ~valid_frames(lengths, x.shape[1])
            x = convolution(x.masked_fill(padding[..., None, None], 0.0))
            x, lengths = self.activation(x), halved(lengths)
        return self.linear(x.flatten(2)), lengths


class SpecAugment(torch.nn.Module):
    """Zeroes spans of frames and bands, arXiv 1904.08779, in training only.

    AlgoPerf also names a limit of 40 frames per span, but its adaptive limit
    (a share of the utterance) replaces it; so here.

    Arguments
    ---------
    band_count, max_bands : int
        Number of masks over frequency and the width that none exceeds.
    span_count : int
        Number of masks over time.
    max_span_share : float
        Width that none of them exceeds, as a share of the utterance.
    """

    def __init__(
        self,
        band_count: int,
        max_bands: int,
        span_count: int,
        max_span_share: float,
    ) -> None:
        super().__init__()
        self.band_count, self.max_bands = band_count, max_bands
        self.span_count, self.max_span_share = span_count, max_span_share

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Masks x [B, T, F] of `lengths` [B] frames."""
        if not self.training:
            return x
        spans = draw_masks(
            lengths, self.max_span_share * lengths, self.span_count, x.shape[1]
        )
        bands = torch.full_like(lengths, x.shape[2])
        limit = torch.full_like(lengths, self.max_bands)
        bands = draw_masks(bands, limit, self.band_count, x.shape[2])
        return x.masked_fill(spans.unsqueeze(2) | bands.unsqueeze(1), 0.0)


def draw_masks(
    ranges: torch.Tensor, limits: torch.Tensor, count: int, total: int
) -> torch.Tensor:
    """Draws `count` spans for each item; says which positions they cover.

    Arguments
    ---------
    ranges : torch.Tensor
        Positions [B] that an item has; spans lie within.
    limits : torch.Tensor
        Widths [B]: drawn uniformly from 0 to the limit, rounded down.
    count : int
        Spans per item.
    total : int
        Positions of the widest item.

    Returns
    -------
    torch.Tensor
        Boolean [B, total].
    """
    draws = torch.rand(2, len(ranges), count, device=ranges.device)
    widths = (draws[0] * limits.unsqueeze(1)).floor()
    widths = widths.minimum(ranges.unsqueeze(1))
    starts = (draws[1] * (ranges.unsqueeze(1) - widths + 1)).floor()
    at = torch.arange(total, device=ranges.device)
    starts, ends = starts.unsqueeze(-1), (starts + widths).unsqueeze(-1)
    return ((at >= starts) & (at < ends)).any(1)
