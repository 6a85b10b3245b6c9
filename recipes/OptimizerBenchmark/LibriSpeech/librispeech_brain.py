"""Training by CTC and counting word errors: what all workloads here share."""

import speechbrain as sb
import torch
from librispeech_batches import rank_and_size
from librispeech_layers import over_ranks
from librispeech_tokenizer import BLANK
from speechbrain.decoders.ctc import ctc_greedy_decode
from speechbrain.nnet.losses import ctc_loss
from speechbrain.utils.metric_stats import ErrorRateStats


class CTCBrain(sb.Brain):
    """Sentence pieces from speech; the optimizer is the benchmark's."""

    def on_stage_start(self, stage, epoch=None):
        """Empties the counts; gives each rank dropout and masks of its own."""
        rank, _ = rank_and_size()
        if rank and stage == sb.Stage.TRAIN and self.optimizer_step == 0:
            torch.manual_seed(self.hparams.seed + rank)
        self._empty()

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, T, pieces] and their lengths [B]."""
        batch = batch.to(self.device)
        waves, shares = batch.sig
        samples = (shares * waves.shape[1]).round().long()
        frames = 1 + samples // self.hparams.hop_samples
        feats = self.modules.compute_features(waves)
        # Half a frame less: no rounding of the share adds one.
        feats = self.modules.normalize(feats, (frames - 0.5) / feats.shape[1])
        feats = self.modules.augment(feats, frames)
        logits, lengths = self.modules.model(feats, frames)
        return logits.float().log_softmax(-1), lengths

    def compute_objectives(self, predictions, batch, stage):
        """Mean over the utterances; counts word errors outside training."""
        scores, lengths = predictions
        tokens, token_shares = batch.tokens
        shares = lengths / scores.shape[1]
        loss = ctc_loss(
            scores, tokens, shares, token_shares, BLANK, reduction="batchmean"
        )
        if stage != sb.Stage.TRAIN:
            self._count(batch, scores, shares)
            self.loss_sum += float(loss) * len(batch.id)
            self.utterances += len(batch.id)
        return loss

    def stage_metrics(self, stage, stage_loss):
        """Word errors and loss over the utterances of all ranks."""
        found = self._metrics("")
        if self.hparams.measure_test and stage == sb.Stage.VALID:
            found |= self._test_metrics()
        return found

    def _test_metrics(self):
        """A pass over the test data; AlgoPerf too tests at each evaluation."""
        if not hasattr(self, "test_batches"):
            self.test_batches = self.hparams.data.test_loader()
        self._empty()
        with torch.no_grad():
            for batch in self.test_batches:
                self.evaluate_batch(batch, sb.Stage.TEST)
        return self._metrics("test_")

    def _empty(self):
        """Nothing is counted yet."""
        self.errors = ErrorRateStats()
        self.loss_sum, self.utterances = 0.0, 0

    def _count(self, batch, scores, shares):
        """Compares the words of the best path with those that were said."""
        decode = self.hparams.data.tokenizer.decode
        paths = ctc_greedy_decode(scores, shares, blank_id=BLANK)
        self.errors.append(
            batch.id,
            [decode(path).split() for path in paths],
            [words.split() for words in batch.wrd],
        )

    def _metrics(self, prefix):
        """What was counted, over all ranks."""
        found = self.errors.summarize()
        own = [
            found["num_edits"],
            found["num_scored_tokens"],
            self.loss_sum,
            self.utterances,
        ]
        edits, words, loss, utterances = over_ranks(
            torch.tensor(own, dtype=torch.float64, device=self.device)
        ).tolist()
        return {
            f"{prefix}wer_percent": 100 * edits / words,
            f"{prefix}ctc_loss": loss / utterances,
        }
