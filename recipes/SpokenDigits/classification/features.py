"""From a batch to features: exact lengths, a cache, pooling without padding."""

import torch
from torch.distributed.nn.functional import all_reduce

from leanbrain.dataio.epochs import rank_and_size


def count_frames(wavs, lens, hop):
    """Frames of each utterance, whatever it is batched with.

    Arguments
    ---------
    wavs : torch.Tensor
        Samples [B, time].
    lens : torch.Tensor
        Relative lengths [B] in (0, 1].
    hop : int
        Samples from frame to frame.

    Returns
    -------
    torch.Tensor
        1 + samples // hop, shape [B]: what a centred STFT yields.
    """
    samples = (lens.double() * wavs.shape[1]).round().long()
    return 1 + samples // hop


def valid_frames(frames, size):
    """Mask [B, size], True for frames of the utterance."""
    return torch.arange(size, device=frames.device) < frames.unsqueeze(1)


def run_block(block, hidden, valid):
    """Convolution, normalisation and activation, as if without padding.

    Arguments
    ---------
    block : torch.nn.Module
        With conv, norm (over the first of two dimensions) and activation.
    hidden : torch.Tensor
        [B, T, C], zero in the padding.
    valid : torch.Tensor
        Mask [B, T].

    Returns
    -------
    torch.Tensor
        [B, T, D], zero in the padding: neither statistics of the batch nor
        the next convolution see what an utterance is padded with.
    """
    hidden = block.conv(hidden)
    frames = block.activation(block.norm(hidden[valid]))
    result = hidden.new_zeros(hidden.shape)
    result[valid] = frames
    return result


class BatchNorm(torch.nn.Module):
    """Batch normalisation of frames [N, C], those of all ranks together.

    On one rank the same as torch.nn.BatchNorm1d, whose state it has. For
    several SpeechBrain would put one in its place that knows GPUs only.

    Arguments
    ---------
    num_features : int
        C.
    """

    MOMENTUM, EPSILON = 0.1, 1e-5

    def __init__(self, num_features):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(num_features))
        self.bias = torch.nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, frames):
        """Normalises; in training also follows the statistics."""
        if self.training:
            self.num_batches_tracked += 1
            if rank_and_size()[1] > 1:
                return self._over_ranks(frames)
        return torch.nn.functional.batch_norm(
            frames,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.MOMENTUM,
            self.EPSILON,
        )

    def _over_ranks(self, frames):
        """The same by sums over all ranks."""
        count = all_reduce(frames.new_full((1,), len(frames)))
        mean = all_reduce(frames.sum(0)) / count
        away = frames - mean
        variance = all_reduce(away.square().sum(0)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.MOMENTUM)
            unbiased = variance * count / (count - 1)
            self.running_var.lerp_(unbiased, self.MOMENTUM)
        scale = self.weight * (variance + self.EPSILON).rsqrt()
        return away * scale + self.bias


class Blocks(torch.nn.ModuleList):
    """Blocks one after the other, with a forward pass that DDP can wrap."""

    def forward(self, hidden, valid):
        """Runs each as `run_block` does."""
        for block in self:
            hidden = run_block(block, hidden, valid)
        return hidden


def pool_statistics(hidden, valid):
    """Mean and standard deviation over the valid frames.

    Unlike SpeechBrain's StatisticsPooling it adds no noise, in training or
    evaluation, and has no loop over the batch.

    Arguments
    ---------
    hidden : torch.Tensor
        [B, T, C]; padding may hold anything.
    valid : torch.Tensor
        Mask [B, T], at least one True in each row.

    Returns
    -------
    torch.Tensor
        [B, 2 * C]: means, then standard deviations.
    """
    valid = valid.unsqueeze(-1)
    count = valid.sum(1)
    mean = hidden.masked_fill(~valid, 0.0).sum(1) / count
    away = (hidden - mean.unsqueeze(1)).masked_fill(~valid, 0.0)
    # The root has no finite slope at zero, where a channel is constant.
    deviation = (away.square().sum(1) / count + 1e-6).sqrt()
    return torch.cat([mean, deviation], dim=1)


def limit_range(feats, valid, range_db):
    """Raises what is far below the loudest value of an utterance.

    Quiet mel bands and silent atoms of clean speech go down to where a
    front end happens to have its floor; in noise they never do. The same
    limit for all front ends leaves their filters as the only difference.

    Arguments
    ---------
    feats : torch.Tensor
        In decibels, [B, T, K]; padding may hold anything.
    valid : torch.Tensor
        Mask [B, T], at least one True in each row.
    range_db : float
        How far below.

    Returns
    -------
    torch.Tensor
        [B, T, K].
    """
    real = feats.detach().masked_fill(~valid.unsqueeze(-1), -torch.inf)
    return torch.maximum(feats, real.amax((1, 2), keepdim=True) - range_db)


class FrontEnd:
    """Computes features of batches; keeps them if nothing in it is trained.

    Arguments
    ---------
    compute_features : torch.nn.Module
        Samples [B, time] -> features [B, T, K] at 1 + samples // hop frames,
        each independent of what an utterance is batched with.
    device : str
        Where to compute.
    """

    def __init__(self, compute_features, device):
        self.module = compute_features.to(device)
        self.hop = compute_features.get_filter_properties().stride
        self.is_trained = any(p.requires_grad for p in self.module.parameters())
        self.kept = {}

    def __call__(self, batch, keep=True, module=None):
        """Features of a batch.

        Arguments
        ---------
        batch : PaddedBatch
            With id and sig.
        keep : bool
            Whether the same utterances will come again.
        module : torch.nn.Module | None
            The front end as the Brain has it, wrapped for DDP say, where it
            is trained.

        Returns
        -------
        feats : torch.Tensor
            [B, T, K].
        frames : torch.Tensor
            Real frames [B].
        """
        wavs, lens = batch.sig
        frames = count_frames(wavs, lens, self.hop)
        if self.is_trained:
            return (module or self.module)(wavs), frames
        if not keep:
            with torch.no_grad():
                return self.module(wavs), frames
        if any(name not in self.kept for name in batch.id):
            with torch.no_grad():
                feats = self.module(wavs)
            for name, one, count in zip(
                batch.id, feats, frames.tolist(), strict=True
            ):
                self.kept[name] = one[:count].clone()
        kept = [self.kept[name] for name in batch.id]
        return torch.nn.utils.rnn.pad_sequence(kept, batch_first=True), frames
