#!/usr/bin/env python3
"""Recipe for a classifier of spoken digits on several front ends.

To run this recipe, do the following:
> python train.py hparams/fbank.yaml --data_folder <folder of manifests>
> python train.py hparams/nmf.yaml --data_folder <folder of manifests>
> python train.py hparams/nmf_finetuned.yaml --data_folder <...>

Without --data_folder, digits are synthesised on the spot (see README.md). The
same command once more continues an interrupted run.
"""

import functools
import logging
import math
import sys
import time
from pathlib import Path

import torch

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError, check_fraction

with user_errors():
    import_speechbrain()

import speechbrain as sb  # noqa: E402
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
    run_block,
    valid_frames,
)
from hyperpyyaml import load_hyperpyyaml  # noqa: E402
from noise import Babble, Noises, to_level  # noqa: E402
from speechbrain.utils.distributed import run_on_main  # noqa: E402
from spoken_digits_prepare import prepare_spoken_digits  # noqa: E402
from torchaudio.functional import resample  # noqa: E402

from leanbrain.dataio.digits import synthesise_digits  # noqa: E402
from leanbrain.dataio.loader import make_train_loader  # noqa: E402
from leanbrain.dataio.manifests import (  # noqa: E402
    load_audio,
    read_manifest,
)
from leanbrain.dataio.rendering import seed_of  # noqa: E402
from leanbrain.dataio.sampler import (  # noqa: E402
    LanguageBatchSampler,
    evaluation_batches,
)
from leanbrain.nmf.features import NMFFeatures  # noqa: E402
from leanbrain.nmf.figures import write_figures  # noqa: E402

logger = logging.getLogger(__name__)


# Every utterance is heard in many epochs and under many conditions.
@functools.cache
def read_audio(wav, sample_rate, speed=1.0):
    """Samples [time] of a file, played at another speed and so pitch."""
    samples = load_audio(wav, sample_rate)
    if speed == 1.0:
        return samples
    return resample(samples, round(sample_rate * speed), sample_rate)


class Classifier(sb.Brain):
    """Which of ten digits a word is."""

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, 10]."""
        batch = batch.to(self.device)
        feats, frames = self.front_end(batch, keep=stage != sb.Stage.TEST)
        valid = valid_frames(frames, feats.shape[1])
        padding = ~valid.unsqueeze(-1)
        net = self.hparams.net
        feats = limit_range(feats, valid, net["range_db"])
        # Half a frame less: no rounding of the share adds one.
        shares = (frames - 0.5) / feats.shape[1]
        hidden = net["normalize"](feats, shares).masked_fill(padding, 0.0)
        if stage == sb.Stage.TRAIN:
            hidden = net["drop_spans"](net["drop_bands"](hidden))
        for block in self.modules.blocks:
            hidden = run_block(block, hidden, valid)
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
        schedule.current_step = self.optimizer_step
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


def read_tables(hparams):
    """Prepares the data on the main process; returns rows per split."""

    def prepare():
        prepare_spoken_digits(
            hparams["data_folder"]
            or synthesise_digits(hparams["synthesis_folder"]),
            hparams["save_folder"],
            hparams["net"]["sample_rate_hz"],
        )

    run_on_main(prepare)
    folder = Path(hparams["save_folder"])
    summary = prepare_spoken_digits(None, folder, skip_prep=True)
    tables = {
        split: read_manifest(folder / f"{split}.csv", summary["data_root"])
        for split in ("train", "valid", "test")
    }
    tables["train"] = share_of(
        tables["train"], hparams["train_share"], hparams["seed"]
    )
    return tables


def share_of(table, share, seed):
    """A part of the training rows, the same share of each digit.

    Arguments
    ---------
    table : dict
        ID -> row.
    share : float
        In (0, 1]; at least one row of each digit is kept. The rows of a
        smaller share are among those of a larger one.
    seed : int
        Decides with the IDs which rows are kept.

    Returns
    -------
    dict
        ID -> row, in the order of `table`.
    """
    check_fraction("train_share", share, low_open=True)
    by_digit = {}
    for name, row in table.items():
        by_digit.setdefault(row["digit"], []).append(name)
    kept = set()
    for names in by_digit.values():
        names.sort(key=lambda name: seed_of("train_share", seed, name))
        kept.update(names[: math.ceil(share * len(names))])
    return {name: row for name, row in table.items() if name in kept}


def at_speeds(table, speeds):
    """Every row at each speed: more voices than there are speakers.

    Arguments
    ---------
    table : dict
        ID -> row.
    speeds : list of float
        1 is the recording itself.

    Returns
    -------
    dict
        ID with speed -> row with "speed" and the duration that follows.
    """
    if not speeds:
        raise UserError("`speeds` must hold at least one number, got [].")
    for speed in speeds:
        check_fraction("speeds", speed, low=0.5, high=2.0)
    return {
        f"{name}@{speed:g}": {
            **row,
            "speed": float(speed),
            "duration": row["duration"] / speed,
        }
        for name, row in table.items()
        for speed in speeds
    }


def make_dataset(hparams, table, noises, condition="clean"):
    """The utterances of a split under one condition."""
    rate = hparams["net"]["sample_rate_hz"]

    @sb.utils.data_pipeline.takes("id", "spk_id", "wav", "speed")
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(name, speaker, wav, speed):
        samples = read_audio(wav, rate, speed)
        return to_level(noises.mix(condition, name, speaker, samples), rate)

    rows = {
        name: {"speed": 1.0, **row, "digit": int(row["digit"])}
        for name, row in table.items()
    }
    data = sb.dataio.dataset.DynamicItemDataset(rows)
    data.add_dynamic_item(audio_pipeline)
    data.set_output_keys(["id", "sig", "digit", "lang"])
    return data


def train_sampler(hparams, table, batches_per_epoch):
    """Shuffled batches of any language, of not too different lengths."""
    return LanguageBatchSampler(
        [row["duration"] for row in table.values()],
        ["any"] * len(table),
        max_batch_s=hparams["max_batch_s"],
        batches_per_epoch=batches_per_epoch,
        jitter=0.5,
        seed=hparams["seed"],
    )


def evaluation_loader(hparams, dataset, table):
    """Every utterance once, sorted by length."""
    batches = evaluation_batches(
        [row["duration"] for row in table.values()],
        ["any"] * len(table),
        hparams["max_batch_s"] * 2,
    )
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)


def fit_front_end(hparams, datasets, tables):
    """Trains the dictionary of a front end that has one.

    A run that has a checkpoint finds the dictionary in it. A run that was
    stopped before the first one trains the same dictionary again.
    """
    front_end = hparams["compute_features"]
    resumed = hparams["checkpointer"].find_checkpoint() is not None
    if resumed or not hasattr(front_end, "fit"):
        return
    batches = evaluation_batches(
        [row["duration"] for row in tables["train"].values()],
        ["any"] * len(tables["train"]),
        hparams["max_batch_s"],
    )
    sampler = train_sampler(hparams, tables["train"], len(batches))
    front_end.fit(
        sb.dataio.dataloader.make_dataloader(
            datasets["train"], batch_sampler=list(sampler)
        ),
        evaluation_loader(hparams, datasets["valid"], tables["valid"]),
        **hparams["front_end_fit"],
    )


def draw_front_end(hparams, dataset, step):
    """Atoms, and the longest validation utterance in them."""
    front_end = hparams["compute_features"]
    if isinstance(front_end, NMFFeatures):
        longest = max((dataset[i]["sig"] for i in range(len(dataset))), key=len)
        folder, board = hparams["output_folder"], hparams["tensorboard"]
        for path in write_figures(front_end, longest, folder, board, step):
            logger.info("Drawn: %s", path)


def test_errors(hparams, brain, table, noises):
    """Errors of the best checkpoint under every condition."""
    total, by_language = {}, {}
    for condition in noises.conditions:
        data = make_dataset(hparams, table, noises, condition)
        brain.evaluate(
            evaluation_loader(hparams, data, table), min_key="error_percent"
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
    with open(hparams_file, encoding="utf-8") as stream:
        hparams = load_hyperpyyaml(stream, overrides)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    return hparams, run_opts


def make_noises(hparams, tables):
    """The conditions of the test."""
    rate = hparams["net"]["sample_rate_hz"]
    babble = Babble(
        tables["train"], functools.partial(read_audio, sample_rate=rate)
    )
    return Noises(
        hparams["noise_colours"], hparams["noise_snrs_db"], babble, rate
    )


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
            hparams, perturbed, hparams["batches_per_epoch"]
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
    best = hparams["checkpointer"].find_checkpoint(min_key="error_percent")
    facts = {
        **errors,
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
