#!/usr/bin/env python3
"""Recipe for a multilingual CTC recogniser, dense or pruned into pathways.

To run this recipe, do the following:
> python train.py hparams/dense.yaml --data_folder <folder of manifests>
> python train.py hparams/pathways.yaml --data_folder <folder of manifests> \
    --dense_checkpoint <output folder of the dense run>/save

Without --data_folder, speech is synthesised on the spot (see README.md). The
same command once more continues an interrupted run.
"""

import functools
import logging
import os
import sys
import time
from pathlib import Path

import torch

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError

with user_errors():
    import_speechbrain()

import speechbrain as sb  # noqa: E402
from evaluation import ErrorRates, Stopwatch, write_result  # noqa: E402
from front_end import prepare_front_end  # noqa: E402
from hyperpyyaml import load_hyperpyyaml  # noqa: E402
from multilingual_prompts_prepare import (  # noqa: E402
    prepare_multilingual_prompts,
)
from speechbrain.dataio.dataio import length_to_mask  # noqa: E402
from speechbrain.utils.distributed import run_on_main  # noqa: E402

from leanbrain.checkpointing import add_state  # noqa: E402
from leanbrain.dataio.loader import make_train_loader  # noqa: E402
from leanbrain.dataio.manifests import (  # noqa: E402
    load_audio,
    read_manifest,
)
from leanbrain.dataio.sampler import (  # noqa: E402
    LanguageBatchSampler,
    evaluation_batches,
)
from leanbrain.dataio.synthesis import synthesise_corpus  # noqa: E402
from leanbrain.pruning.checkpoints import (  # noqa: E402
    newest_checkpoint,
    require_dense,
    require_pruned,
)

logger = logging.getLogger(__name__)


class ASR(sb.Brain):
    """CTC over characters, batches of one language."""

    def compute_forward(self, batch, stage):
        """Log-probabilities [B, T, tokens] and the utterances' lengths."""
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
        logits = self.modules.ctc_lin(hidden)[..., : len(self.label_encoder)]
        return logits.log_softmax(-1), lens

    def compute_objectives(self, predictions, batch, stage):
        """CTC loss; collects the error rates outside training."""
        log_probs, lens = predictions
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
        schedule = self.hparams.lr_annealing
        schedule.current_step = self.optimizer_step
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
            self.test_rates = rates
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


def read_tables(hparams):
    """Prepares the data on the main process; returns rows per split."""

    def prepare():
        prepare_multilingual_prompts(
            hparams["data_folder"]
            or synthesise_corpus(hparams["synthesis_folder"]),
            hparams["save_folder"],
            hparams["languages"],
            subset=hparams["subset"],
        )

    run_on_main(prepare)
    folder = Path(hparams["save_folder"])
    summary = prepare_multilingual_prompts(None, folder, skip_prep=True)
    return {
        split: read_manifest(folder / f"{split}.csv", summary["data_root"])
        for split in ("train", "valid", "test")
    }


def dataio_prepare(hparams, tables):
    """Datasets, their loaders' batches, and the label encoder.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    tables : dict
        Split -> checked rows of its manifest.

    Returns
    -------
    datasets : dict
        Split -> DynamicItemDataset.
    encoder : CTCTextEncoder
        Characters of the training texts; the dense model's own if the run
        starts from one.
    """
    encoder = sb.dataio.encoder.CTCTextEncoder()
    audio = functools.lru_cache(maxsize=None)(load_audio)

    @sb.utils.data_pipeline.takes("wav")
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(wav):
        return audio(wav, hparams["asr"]["sample_rate_hz"])

    @sb.utils.data_pipeline.takes("wrd")
    @sb.utils.data_pipeline.provides("tokens")
    def text_pipeline(wrd):
        return torch.LongTensor(encoder.encode_sequence(list(wrd)))

    datasets = {}
    for split, table in tables.items():
        data = sb.dataio.dataset.DynamicItemDataset(table)
        data.add_dynamic_item(audio_pipeline)
        data.add_dynamic_item(text_pipeline)
        data.set_output_keys(["id", "sig", "tokens", "wrd", "lang"])
        datasets[split] = data

    encoder.add_unk()
    encoder.load_or_create(
        path=label_file(hparams),
        from_iterables=[sorted(characters(tables["train"]))],
        special_labels={"blank_label": 0},
    )
    neurons = hparams["asr"]["output_neurons"]
    if len(encoder) > neurons:
        raise UserError(
            f"`output_neurons` must be at least {len(encoder)}, the number of "
            f"characters, got {neurons}."
        )
    return datasets, encoder


def characters(table):
    """All characters of a manifest's texts."""
    return {c for row in table.values() for c in row["wrd"]}


def label_file(hparams):
    """The label encoder's file: the dense run's own, if there is one."""
    if not hparams["dense_checkpoint"]:
        return Path(hparams["save_folder"]) / "label_encoder.txt"
    path = Path(hparams["dense_checkpoint"]) / "label_encoder.txt"
    if not path.exists():
        raise UserError(
            "`dense_checkpoint` must be the save folder of a dense run, got "
            f"{path.parent} without {path.name}."
        )
    return path


def train_sampler(hparams, table):
    """Batches of one language each, in this rank's share."""
    return LanguageBatchSampler(
        [row["duration"] for row in table.values()],
        [row["lang"] for row in table.values()],
        max_batch_s=hparams["max_batch_s"],
        batches_per_epoch=hparams["batches_per_epoch"],
        temperature=hparams["temperature"],
        seed=hparams["seed"],
        rank=int(os.environ.get("RANK", 0)),
        world_size=int(os.environ.get("WORLD_SIZE", 1)),
    )


def evaluation_loader(hparams, dataset, table):
    """Every utterance once, batches of one language."""
    batches = evaluation_batches(
        [row["duration"] for row in table.values()],
        [row["lang"] for row in table.values()],
        hparams["max_batch_s"] * 2,
    )
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)


def main(arguments):
    """Prepares, trains, evaluates and writes the result."""
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    with open(hparams_file, encoding="utf-8") as stream:
        hparams = load_hyperpyyaml(stream, overrides)
    sb.utils.distributed.ddp_init_group(run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    tables = read_tables(hparams)
    datasets, encoder = dataio_prepare(hparams, tables)
    prepare_front_end(hparams, datasets)
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
    write_result(hparams, brain.test_rates, brain.optimizer_step, seconds)


def connect_pruner(hparams, brain):
    """Attaches the pruner, or makes sure that a dense run stays dense."""
    own = hparams["save_folder"]
    if hparams["pruner"] is None:
        require_dense(own)
        add_state(hparams["checkpointer"], "monitor", hparams["monitor"])
        return
    require_pruned(own)
    if hparams["dense_checkpoint"] and newest_checkpoint(own) is None:
        require_dense(hparams["dense_checkpoint"])
        start = newest_checkpoint(hparams["dense_checkpoint"])
        if start is None:
            raise UserError(
                "`dense_checkpoint` must be the save folder of a dense run, "
                f"got {hparams['dense_checkpoint']} without a checkpoint."
            )
        try:
            state = torch.load(
                start / "model.ckpt", weights_only=True, map_location="cpu"
            )
            hparams["model"].load_state_dict(state)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                "`dense_checkpoint` must be of the same model (look at "
                f"`lstm_neurons`), got {start}: {reason}"
            ) from error
    hparams["pruner"].attach(brain, hparams["monitor"])


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
