#!/usr/bin/env python3
"""Recipe for a multilingual CTC recogniser, dense or pruned into pathways.

To run this recipe, do the following:
> python train.py hparams/dense.yaml --data_folder <folder of manifests>
> python train.py hparams/pathways.yaml --data_folder <folder of manifests> \
    --dense_checkpoint <output folder of the dense run>/save
> python train.py hparams/pruned.yaml --method <name in hparams/pruning> ...

Without --data_folder, speech is synthesised on the spot (see README.md). The
same command once more continues an interrupted run.
"""

# Where other settings are read (SpeechBrain's checker looks here only):
#   data.py: hparams.data_folder hparams.synthesis_folder hparams.languages
#     hparams.subset hparams.max_batch_s hparams.temperature
#   pruners.py: hparams.method hparams.pruning
#   front_end.py: hparams.dense_checkpoint

import logging
import sys
import time
from pathlib import Path

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError
from leanbrain.files import make_folder

with user_errors():
    import_speechbrain()

import speechbrain as sb  # noqa: E402
import torch  # noqa: E402  after leanbrain, which says how threads wait
from data import (  # noqa: E402
    dataio_prepare,
    evaluation_loader,
    read_tables,
    train_sampler,
)
from distillation import frame_divergence, teacher_of  # noqa: E402
from evaluation import ErrorRates, Stopwatch  # noqa: E402
from front_end import prepare_front_end  # noqa: E402
from outcome import write_outcome  # noqa: E402
from pruners import connect_pruner, pruner_of  # noqa: E402
from speechbrain.dataio.dataio import length_to_mask  # noqa: E402

from leanbrain.dataio.loader import make_train_loader  # noqa: E402
from leanbrain.pruning.flops.batch_seconds import full_batches  # noqa: E402
from leanbrain.recipes.loading import load_recipe  # noqa: E402

logger = logging.getLogger(__name__)


class ASR(sb.Brain):
    """CTC over characters, batches of one language."""

    teacher = None  # a dense model, where a pruned one learns from it

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, T, tokens], lengths, and the teacher's."""
        batch = batch.to(self.device)
        wavs, lens = batch.sig
        asr = self.hparams.asr
        if stage == sb.Stage.TRAIN:
            wavs = asr["wav_augment"](wavs)
        # The Brain's own module where it is trained: DDP has wrapped it.
        front_end = getattr(self.modules, "features", asr["compute_features"])
        feats = asr["normalize"](front_end(wavs), lens)
        valid = length_to_mask(
            (lens * feats.shape[1]).round(), feats.shape[1]
        ).bool()
        feats = feats.masked_fill(~valid.unsqueeze(-1), 0.0)
        if stage == sb.Stage.TRAIN:
            feats = asr["drop_spans"](asr["drop_bands"](feats))
            hidden = self.modules.encoder(feats)
        else:
            # Unpacked LSTMs train twice as fast, and nearly every utterance
            # is followed by some padding then. Evaluation packs, so that no
            # result depends on what an utterance is batched with, and gives
            # each the same short silence that training made it expect:
            # without it, a character too many is heard at the end of many.
            silence = asr["silent_frames"]
            frames = (lens * feats.shape[1]).round()
            feats = torch.nn.functional.pad(feats, (0, 0, 0, silence))
            lens = frames / feats.shape[1]
            hidden = self.modules.encoder(
                feats, lengths=(frames + silence) / feats.shape[1]
            )
        # The output layer may have more neurons than there are characters.
        tokens = len(self.label_encoder)
        logits = self.modules.ctc_lin(hidden)[..., :tokens]
        wanted = None
        if stage == sb.Stage.TRAIN and self.teacher is not None:
            wanted = self.teacher(feats, tokens)
        return logits.log_softmax(-1), lens, wanted

    def compute_objectives(self, predictions, batch, stage):
        """CTC loss; collects the error rates outside training."""
        log_probs, lens, wanted = predictions
        tokens, token_lens = batch.tokens
        blank = self.label_encoder.get_blank_index()
        loss = sb.nnet.losses.ctc_loss(
            log_probs,
            tokens.to(self.device),
            lens,
            token_lens.to(self.device),
            blank_index=blank,
        )
        if stage != sb.Stage.TRAIN:
            decoded = sb.decoders.ctc_greedy_decode(log_probs, lens, blank)
            texts = self.label_encoder.decode_ndim(decoded)
            self.errors.append(batch, texts, float(loss))
        if wanted is not None:
            divergence = frame_divergence(log_probs, wanted, lens)
            loss = loss + self.hparams.distillation_weight * divergence
        return loss

    def check_loss_isfinite(self, loss):
        """Stops with the utterances named when the loss keeps being bad."""
        if not torch.isfinite(loss):
            self.nonfinite_count += 1
            if self.nonfinite_count > self.nonfinite_patience:
                raise UserError(
                    "The loss must be finite, got "
                    f"{float(loss.detach())} in {self.nonfinite_count} "
                    "batches (lower `lr`, or look at the last batch: "
                    f"{', '.join(self.batch_ids[:3])})."
                )

    def on_fit_batch_start(self, batch, should_step):
        """Continues the random numbers of a resumed run; sets the rate."""
        self.hparams.random_state.resume()
        self.batch_ids = batch.id
        schedule, pruner = self.hparams.lr_annealing, self.hparams.pruner
        # A method of several rounds has the schedule once for each.
        schedule.current_step = (
            self.optimizer_step
            if pruner is None
            else pruner.plan.schedule_step(self.optimizer_step)
        )
        schedule(self.optimizer)

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Training loss per language, where no pruner notes it."""
        if self.hparams.pruner is None:
            self.hparams.monitor.note_loss(
                self.optimizer_step - int(should_step),
                batch.lang[0],
                float(loss.detach()),
            )

    def on_fit_start(self):
        """Notes where this start begins, for the time left."""
        super().on_fit_start()
        self.started, self.first_step = time.monotonic(), self.optimizer_step

    def on_stage_start(self, stage, epoch=None):
        """Empties the error counts."""
        self.errors = ErrorRates()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs, and saves after validation."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
            return
        if stage == sb.Stage.TEST:
            return
        rates = self.errors.summary()
        step = self.optimizer_step
        self.hparams.monitor.on_metrics(step, rates)
        mean = self.errors.mean_cer()
        self.hparams.train_logger.log_stats(
            {"epoch": epoch, "step": step},
            train_stats={"loss": self.train_loss},
            valid_stats={"loss": stage_loss, "mean_cer": mean},
        )
        self.checkpointer.save_and_keep_only(
            meta={"mean_cer": mean, "step": step}, num_to_keep=1
        )
        done = step - self.first_step
        left = self.hparams.total_steps - step
        minutes = (time.monotonic() - self.started) / 60 * left / max(1, done)
        logger.info("%d steps left, about %.1f minutes", left, minutes)


def main(arguments):
    """Prepares, trains, evaluates and writes the result."""
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    hparams = load_recipe(hparams_file, overrides)
    hparams["pruner"] = pruner_of(hparams)
    sb.utils.distributed.ddp_init_group(run_opts)
    sb.utils.distributed.run_on_main(
        make_folder, kwargs={"path": hparams["output_folder"]}
    )
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    tables = read_tables(hparams)
    datasets, encoder = dataio_prepare(hparams, tables)
    prepare_front_end(hparams, datasets)
    teacher = teacher_of(hparams)
    brain = ASR(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if brain.grad_accumulation_factor != 1:
        raise UserError(
            "`grad_accumulation_factor` must be 1, because `total_steps` "
            "counts a step per batch (raise `max_batch_s` instead), got "
            f"{brain.grad_accumulation_factor}."
        )
    brain.label_encoder = encoder
    brain.teacher = teacher and teacher.to(brain.device)
    connect_pruner(hparams, brain)
    stopwatch = Stopwatch(Path(hparams["save_folder"]) / "seconds.json")
    started = time.monotonic()
    try:
        brain.fit(
            hparams["epoch_counter"],
            make_train_loader(
                brain,
                datasets["train"],
                train_sampler(hparams, tables["train"]),
            ),
            evaluation_loader(hparams, datasets["valid"], tables["valid"]),
        )
    finally:
        seconds = stopwatch.add(time.monotonic() - started)
    brain.evaluate(evaluation_loader(hparams, datasets["test"], tables["test"]))
    # The checkpoint that was evaluated, which the last validation saved.
    valid_cer = brain.checkpointer.find_checkpoint().meta["mean_cer"]
    step = brain.optimizer_step
    batches = full_batches(brain.train_sampler, hparams["number_of_epochs"])
    write_outcome(hparams, brain.errors, valid_cer, step, batches, seconds)


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
