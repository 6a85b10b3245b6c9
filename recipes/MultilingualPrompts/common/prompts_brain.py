"""How a recogniser of this folder is trained: steps, stages, checkpoints."""

import logging
import time
from pathlib import Path

import speechbrain as sb
import torch
from evaluation import ErrorRates, Stopwatch
from outcome import write_outcome
from pruners import connect_pruner

from leanbrain.checks import UserError
from leanbrain.dataio.loader import make_train_loader

logger = logging.getLogger(__name__)


class PromptsBrain(sb.Brain):
    """Batches of one language; error rates per language.

    What extends it computes the loss, and adds decoded texts to `errors`
    outside training.
    """

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
        rates = self.errors.summary()
        if stage == sb.Stage.TEST:
            logger.info("test: %s", in_words(rates))
            return
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


def in_words(rates):
    """The error rates of each language, as `ErrorRates.summary` has them."""
    cer, wer = rates["cer"], rates["wer"]
    return ", ".join(
        f"{lang} {cer[lang]:.1f} % CER {wer[lang]:.1f} % WER" for lang in cer
    )


def make_brain(brain_class, hparams, run_opts):
    """The Brain of a loaded YAML, with its pruner.

    Arguments
    ---------
    brain_class : type
        A PromptsBrain.
    hparams, run_opts : dict
        The loaded YAML, and SpeechBrain's options.
    """
    brain = brain_class(
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
    connect_pruner(hparams, brain)
    return brain


def train_and_test(brain, hparams, datasets, sampler, loaders, flops_of):
    """Trains, evaluates and writes the result.

    Arguments
    ---------
    brain : PromptsBrain
        Ready to be trained.
    hparams : dict
        The loaded YAML.
    datasets : dict
        Split -> dataset.
    sampler : LanguageBatchSampler
        Of the training batches.
    loaders : dict
        "valid" and "test".
    flops_of : callable
        Brain -> floating-point operations of its training.
    """
    stopwatch = Stopwatch(Path(hparams["save_folder"]) / "seconds.json")
    started = time.monotonic()
    try:
        brain.fit(
            hparams["epoch_counter"],
            make_train_loader(brain, datasets["train"], sampler),
            loaders["valid"],
        )
    finally:
        seconds = stopwatch.add(time.monotonic() - started)
    brain.evaluate(loaders["test"])
    # The checkpoint that was evaluated, which the last validation saved. A
    # run of 0 epochs evaluates what it was given.
    saved = brain.checkpointer.find_checkpoint()
    valid_cer = None if saved is None else saved.meta["mean_cer"]
    steps = brain.optimizer_step
    write_outcome(
        hparams, brain.errors, valid_cer, steps, flops_of(brain), seconds
    )
