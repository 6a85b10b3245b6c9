#!/usr/bin/env python3
"""Recipe for fine-tuning Whisper on several languages, dense or pruned.

To run this recipe, do the following:
> python whisper_prepare.py
> python train.py hparams/dense.yaml --data_folder <folder of manifests>
> python train.py hparams/pathways.yaml --data_folder <folder of manifests> \
    --dense_checkpoint <output folder of the dense run>/save
> python train.py hparams/pruned.yaml --method <name in hparams/pruning> ...

Without --data_folder, speech is synthesised on the spot (see README.md). The
same command once more continues an interrupted run.
"""

# Where other settings are read (SpeechBrain's checker looks here only):
#   speech.py: hparams.data_folder hparams.synthesis_folder hparams.languages
#     hparams.subset hparams.temperature hparams.batches_per_epoch
#   prompts_brain.py: hparams.checkpointer hparams.epoch_counter
#     hparams.lr_annealing hparams.modules hparams.monitor hparams.opt_class
#     hparams.random_state hparams.total_steps hparams.train_logger
#   pruners.py: hparams.method hparams.method_name
#   leanbrain/pruning/host/starting.py: hparams.pruning hparams.model
#     hparams.dense_checkpoint hparams.save_folder

import os
import sys

# Batches have hundreds of shapes, and oneDNN keeps what it compiled for each,
# with its buffers: 1,024 of them, 8 MB more with every step.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

from leanbrain._host import import_speechbrain, user_errors  # noqa: E402

with user_errors():
    import_speechbrain()
    # SpeechBrain's lobe dies on import without it.
    from whisper_source import check_transformers

    check_transformers()

import speechbrain as sb  # noqa: E402
import torch  # noqa: E402  after leanbrain, which says how threads wait
from cost import announce, batch_macs  # noqa: E402
from data import dataio_prepare, evaluation_loader, some_of  # noqa: E402
from outcome import training_flops  # noqa: E402
from prompts_brain import (  # noqa: E402
    PromptsBrain,
    make_brain,
    train_and_test,
)
from pruners import pruner_of  # noqa: E402
from speech import read_tables, train_sampler  # noqa: E402
from speechbrain.dataio.dataio import length_to_mask  # noqa: E402
from texts import normalise  # noqa: E402

from leanbrain.memory import release_freed  # noqa: E402
from leanbrain.pruning.flops.batch_seconds import full_batches  # noqa: E402
from leanbrain.recipes.folder import experiment_folder  # noqa: E402
from leanbrain.recipes.loading import load_recipe  # noqa: E402

PADDING = -100  # of targets
RELEASE_STEPS = 20


class ASR(PromptsBrain):
    """Whisper, batches of one language."""

    def compute_forward(self, batch, stage):
        """Logits of the texts' tokens [B, L, tokens]; what was decoded."""
        batch = batch.to(self.device)
        wavs, lens = batch.sig
        tokens, _ = batch.tokens
        prefix = self.hparams.whisper.prefix(batch.lang[0])
        encoded, logits, _ = self.modules.whisper(wavs, tokens[:, :-1])
        decoded = None
        if stage != sb.Stage.TRAIN:
            tested = stage == sb.Stage.TEST
            search = (
                self.hparams.test_search
                if tested
                else self.hparams.valid_search
            )
            search.set_lang_tokens(prefix[1])
            decoded, *_ = search(encoded, lens)
        # The prefix is given, nothing is to be learned of it.
        return logits[:, len(prefix) - 1 :], decoded

    def compute_objectives(self, predictions, batch, stage):
        """Mean cross-entropy of a token; error rates outside training."""
        logits, decoded = predictions
        tokens, lens = batch.tokens
        targets = tokens.masked_fill(padding(tokens, lens), PADDING)
        targets = targets[:, -logits.shape[1] :].to(self.device)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=PADDING
        )
        if stage != sb.Stage.TRAIN:
            lang = batch.lang[0]
            texts = self.hparams.whisper.tokenizer.batch_decode(
                decoded, skip_special_tokens=True
            )
            fold = lang in self.hparams.folded
            heard, said = (
                [normalise(x, fold) for x in some]
                for some in (texts, batch.wrd)
            )
            self.errors.append(batch, heard, said, float(loss))
        return loss

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """As of all recipes; freed memory is given back now and then."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if self.optimizer_step % RELEASE_STEPS == 0:
            release_freed()


def padding(tokens, lens):
    """Which tokens [B, L] are padding, by the relative lengths."""
    counts = (lens * tokens.shape[1]).round()
    return ~length_to_mask(counts, tokens.shape[1]).bool()


def main(arguments):
    """Prepares, trains, evaluates and writes the result."""
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    hparams = load_recipe(hparams_file, overrides)
    hparams["pruner"] = pruner_of(hparams)
    sb.utils.distributed.ddp_init_group(run_opts)
    with experiment_folder(hparams["output_folder"]):
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
    whisper = hparams["whisper"]
    tables = read_tables(hparams, hparams["sample_rate"])
    tables["valid"] = some_of(
        tables["valid"], hparams["valid_utterances"], hparams["seed"]
    )
    datasets = dataio_prepare(whisper, tables)
    brain = make_brain(ASR, hparams, run_opts)
    sampler = train_sampler(hparams, tables["train"])
    loaders = {
        split: evaluation_loader(
            whisper, datasets[split], tables[split], 2 * hparams["max_batch_s"]
        )
        for split in ("valid", "test")
    }
    announce(brain, datasets, sampler, loaders)

    def flops_of(brain):
        """Floating-point operations of a training that is done."""
        epochs = hparams["number_of_epochs"]
        batches = full_batches(brain.train_sampler, epochs)
        per_batch = batch_macs(hparams, tables["train"])
        return training_flops(hparams, per_batch, batches)

    train_and_test(brain, hparams, datasets, sampler, loaders, flops_of)


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
