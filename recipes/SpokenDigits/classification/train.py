#!/usr/bin/env python3
"""Recipe for a classifier of spoken digits on several front ends.

To run this recipe, do the following:
> python train.py hparams/fbank.yaml --data_folder <folder of manifests>
> python train.py hparams/nmf.yaml --data_folder <folder of manifests>
> python train.py hparams/nmf_finetuned.yaml --data_folder <...>
> python train.py hparams/nmf_noise.yaml --data_folder <...>
> python train.py hparams/pruned.yaml --method rigl --data_folder <...>

Without --data_folder, digits are synthesised on the spot (see README.md). The
same command once more continues an interrupted run.
"""

# Where other settings are read (SpeechBrain's checker looks here only):
#   data.py: hparams.data_folder hparams.synthesis_folder hparams.train_share
#     hparams.max_batch_s hparams.noise_colours hparams.noise_snrs_db
#   evaluation.py: hparams.front_end
#   front_end.py: hparams.front_end_fit
#   sparsity.py: hparams.method hparams.pruning
#   leanbrain/pruning/host/starting.py: hparams.dense_checkpoint hparams.monitor

import logging
import sys
import time
from pathlib import Path

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError

with user_errors():
    import_speechbrain()

import speechbrain as sb  # noqa: E402
import torch  # noqa: E402  after leanbrain, which says how threads wait
from data import (  # noqa: E402
    at_speeds,
    evaluation_loader,
    make_dataset,
    make_noises,
    read_tables,
    train_sampler,
)
from evaluation import (  # noqa: E402
    Errors,
    Stopwatch,
    count_parameters,
    mean_by_level,
    write_result,
)
from features import (  # noqa: E402
    FrontEnd,
    limit_range,
    pool_statistics,
    valid_frames,
)
from front_end import draw_front_end, fit_front_end  # noqa: E402
from sparsity import pruner_of, sparsity_facts  # noqa: E402

from leanbrain.dataio.epochs import rank_and_size  # noqa: E402
from leanbrain.dataio.loader import make_train_loader  # noqa: E402
from leanbrain.pruning.flops.batch_seconds import full_batches  # noqa: E402
from leanbrain.pruning.host.starting import connect_pruner  # noqa: E402
from leanbrain.recipes.folder import experiment_folder  # noqa: E402
from leanbrain.recipes.loading import load_recipe  # noqa: E402

logger = logging.getLogger(__name__)


class Classifier(sb.Brain):
    """Which of ten digits a word is."""

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, 10]."""
        batch = batch.to(self.device)
        own = getattr(self.modules, "compute_features", None)
        feats, frames = self.front_end(batch, stage != sb.Stage.TEST, own)
        valid = valid_frames(frames, feats.shape[1])
        padding = ~valid.unsqueeze(-1)
        net = self.hparams.net
        feats = limit_range(feats, valid, net["range_db"])
        # Half a frame less: no rounding of the share adds one.
        shares = (frames - 0.5) / feats.shape[1]
        hidden = net["normalize"](feats, shares).masked_fill(padding, 0.0)
        if stage == sb.Stage.TRAIN:
            hidden = net["drop_spans"](net["drop_bands"](hidden))
        hidden = self.modules.blocks(hidden, valid)
        pooled = pool_statistics(hidden, valid)
        return self.modules.output(net["dropout"](pooled)).log_softmax(-1)

    def compute_objectives(self, predictions, batch, stage):
        """Negative log-likelihood; counts the errors outside training."""
        digits = torch.tensor(batch.digit, device=self.device)
        if stage != sb.Stage.TRAIN:
            self.errors.append(batch, predictions.argmax(-1))
        return torch.nn.functional.nll_loss(predictions, digits)

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

    def on_fit_start(self):
        """Notes where this start begins, for the time left."""
        super().on_fit_start()
        self.started, self.first_step = time.monotonic(), self.optimizer_step

    def on_fit_batch_start(self, batch, should_step):
        """Continues the random numbers of a resumed run; sets the rate."""
        self.hparams.random_state.resume()
        self.batch_ids = batch.id
        schedule = self.hparams.lr_annealing
        step = self.optimizer_step
        if self.pruner is not None:
            step = self.pruner.plan.schedule_step(step)
        schedule.current_step = step
        schedule(self.optimizer)

    def on_stage_start(self, stage, epoch=None):
        """Empties the error counts; dropout acts in training alone."""
        self.errors = Errors()
        self.hparams.net["dropout"].train(stage == sb.Stage.TRAIN)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Logs, and saves after validation."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
        if stage != sb.Stage.VALID:
            return
        step, error = self.optimizer_step, self.errors.percent()
        self.hparams.train_logger.log_stats(
            {"epoch": epoch, "step": step},
            train_stats={"loss": self.train_loss},
            valid_stats={"loss": stage_loss, "error_percent": error},
        )
        self.checkpointer.save_and_keep_only(
            meta={"error_percent": error, "step": step},
            num_to_keep=1,
            min_keys=["error_percent"],
        )
        done, left = step - self.first_step, self.hparams.total_steps - step
        minutes = (time.monotonic() - self.started) / 60 * left / max(1, done)
        logger.info("%d steps left, about %.1f minutes", left, minutes)


def test_errors(hparams, brain, table, noises):
    """Errors of the brain's best checkpoint under every condition."""
    total, by_language = {}, {}
    for condition in noises.conditions:
        data = make_dataset(hparams, table, noises, condition)
        brain.evaluate(
            evaluation_loader(hparams, data, table), min_key=brain.best_key
        )
        total[condition] = brain.errors.percent()
        by_language[condition] = brain.errors.percent_by_language()
        logger.info("%s: %.1f %% errors", condition, total[condition])
    hparams["train_logger"].log_stats(
        {"step": brain.optimizer_step}, test_stats={"error_percent": total}
    )
    return {
        "error_percent": total,
        "error_percent_by_level": mean_by_level(total),
        "error_percent_by_language": by_language,
    }


def load(arguments):
    """The YAML with overrides; makes the output folder."""
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    hparams = load_recipe(hparams_file, overrides)
    sb.utils.distributed.ddp_init_group(run_opts)
    with experiment_folder(hparams["output_folder"]):
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
    return hparams, run_opts


def make_brain(hparams, run_opts):
    """The classifier, on its front end."""
    brain = Classifier(
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
    brain.front_end = FrontEnd(hparams["compute_features"], brain.device)
    brain.pruner = pruner_of(hparams)
    # Masks are final in the last checkpoint, not in one before.
    brain.best_key = "error_percent" if brain.pruner is None else None
    connect_pruner(brain.pruner, brain, hparams)
    return brain


def main(arguments):
    """Prepares, trains, evaluates and writes the result."""
    hparams, run_opts = load(arguments)
    tables = read_tables(hparams)
    noises = make_noises(hparams, tables)
    perturbed = at_speeds(tables["train"], hparams["speeds"])
    datasets = {
        split: make_dataset(hparams, table, noises)
        for split, table in {**tables, "perturbed": perturbed}.items()
    }
    brain = make_brain(hparams, run_opts)
    stopwatch = Stopwatch(Path(hparams["save_folder"]) / "seconds.json")
    with stopwatch.running("front_end"):
        fit_front_end(hparams, datasets, tables)
    with stopwatch.running("training"):
        sampler = train_sampler(
            hparams,
            perturbed,
            hparams["batches_per_epoch"],
            *rank_and_size(),
        )
        brain.fit(
            hparams["epoch_counter"],
            make_train_loader(brain, datasets["perturbed"], sampler),
            evaluation_loader(hparams, datasets["valid"], tables["valid"]),
        )
    steps = brain.optimizer_step
    with stopwatch.running("test"):
        errors = test_errors(hparams, brain, tables["test"], noises)
    draw_front_end(hparams, datasets["valid"], steps)
    net = hparams["net"]
    batches = full_batches(sampler, hparams["number_of_epochs"])
    best = hparams["checkpointer"].find_checkpoint(min_key=brain.best_key)
    facts = {
        **errors,
        **sparsity_facts(hparams, brain.pruner, batches),
        "best": {k: best.meta[k] for k in ("error_percent", "step")},
        "steps": steps,
        "train_utterances": len(tables["train"]),
        "classifier_parameters": count_parameters(
            [net["blocks"], net["output"]]
        ),
        "front_end_parameters": count_parameters([hparams["compute_features"]]),
        "seconds": stopwatch.seconds(),
    }
    write_result(hparams, facts)


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
