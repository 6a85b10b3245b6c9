"""Which digit a word is, for an optimizer to train."""

import speechbrain as sb
import torch
from digit_layers import ConvBlock, valid_frames


class ConvNet(torch.nn.Module):
    """Convolutions over time, mean and deviation over the word.

    Arguments
    ---------
    in_channels : int
        Values of a frame.
    channels : int
        Of each convolution.
    kernel : int
        Frames that each sees.
    convolutions : int
        How many.
    **settings
        Of ConvBlock.
    """

    def __init__(self, in_channels, channels, kernel, convolutions, **settings):
        super().__init__()
        sizes = [in_channels] + [channels] * convolutions
        self.blocks = torch.nn.ModuleList(
            ConvBlock(a, b, kernel, **settings)
            for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def forward(self, feats, frames):
        """[B, T, C] with `frames` real ones to [B, 2 * channels]."""
        valid = valid_frames(frames, feats.shape[1])
        for block in self.blocks:
            feats = block(feats, valid)
        # The padding is zero: it adds nothing to either sum.
        count = frames.unsqueeze(1)
        mean = feats.sum(1) / count
        power = feats.square().sum(1) / count - mean.square()
        # The root has no finite slope at zero, where a channel is constant.
        return torch.cat([mean, power.clamp(min=1e-4).sqrt()], dim=1)


class DigitClassifier(sb.Brain):
    """An encoder and a linear layer, trained with cross-entropy."""

    def compute_forward(self, batch, stage):
        """Logits [B, 10]."""
        batch = batch.to(self.device)
        feats = batch.feats
        if stage == sb.Stage.TRAIN:
            feats = self.hparams.augment(feats)
        return self.modules.output(self.modules.encoder(feats, batch.frames))

    def compute_objectives(self, predictions, batch, stage):
        """Cross-entropy; counts the errors outside training."""
        digits = batch.to(self.device).tokens.squeeze(1)
        if stage != sb.Stage.TRAIN:
            self.wrong += int((predictions.argmax(-1) != digits).sum())
            self.count += len(digits)
        return torch.nn.functional.cross_entropy(predictions, digits)

    def on_stage_start(self, stage, epoch=None):
        """Forgets the errors of the last stage."""
        self.wrong = self.count = 0

    def stage_metrics(self, stage, stage_loss):
        """What the last validation found.

        Returns
        -------
        dict
            Loss, and the share of words that were taken for another digit,
            in percent.
        """
        error = 100.0 * self.wrong / self.count
        return {"loss": stage_loss, "error_percent": error}
