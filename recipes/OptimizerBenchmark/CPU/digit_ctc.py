"""Recognition of a sequence of digits with CTC, for an optimizer to train."""

from collections import Counter

import speechbrain as sb
from speechbrain.decoders.ctc import filter_ctc_output
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.edit_distance import accumulatable_wer_stats

BLANK = 10


class DigitCTC(sb.Brain):
    """An encoder, a linear layer, CTC over the digits and a blank."""

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, T, 11]."""
        batch = batch.to(self.device)
        feats = batch.feats
        if stage == sb.Stage.TRAIN:
            feats = self.hparams.augment(feats)
        hidden = self.modules.encoder(feats, batch.frames)
        return self.modules.output(hidden).log_softmax(-1)

    def compute_objectives(self, predictions, batch, stage):
        """CTC loss; counts the errors outside training."""
        batch = batch.to(self.device)
        if stage != sb.Stage.TRAIN:
            self.count(predictions, batch)
        return ctc_loss(
            predictions,
            batch.tokens,
            batch.frames / predictions.shape[1],
            batch.counts / batch.tokens.shape[1],
            BLANK,
        )

    def count(self, predictions, batch):
        """Adds the errors of a batch, decoded greedily."""
        best = predictions.argmax(-1).tolist()
        frames, counts = batch.frames.tolist(), batch.counts.tolist()
        heard = [
            filter_ctc_output(path[:n], blank_id=BLANK)
            for path, n in zip(best, frames, strict=True)
        ]
        said = [
            tokens[:n]
            for tokens, n in zip(batch.tokens.tolist(), counts, strict=True)
        ]
        self.errors = accumulatable_wer_stats(said, heard, self.errors)

    def on_stage_start(self, stage, epoch=None):
        """Forgets the errors of the last stage."""
        self.errors = Counter()

    def stage_metrics(self, stage, stage_loss):
        """What the last validation found.

        Returns
        -------
        dict
            Loss, and the share of tokens that are wrong, missing or too
            many, in percent.
        """
        return {"loss": stage_loss, "error_percent": self.errors["WER"]}
