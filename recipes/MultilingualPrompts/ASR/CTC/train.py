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
#   speech.py: hparams.data_folder hparams.synthesis_folder hparams.languages
#     hparams.subset hparams.max_batch_s hparams.temperature
#     hparams.batches_per_epoch hparams.seed
#   prompts_brain.py: hparams.checkpointer hparams.epoch_counter
#     hparams.lr_annealing hparams.monitor hparams.opt_class
#     hparams.random_state hparams.total_steps hparams.train_logger
#   pruners.py: hparams.method
#   leanbrain/pruning/host/starting.py: hparams.pruning hparams.save_folder
#   front_end.py: hparams.dense_checkpoint

import sys

from leanbrain._host import import_speechbrain, user_errors

with user_errors():
    import_speechbrain()

import speechbrain as sb  # noqa: E402
import torch  # noqa: E402  after leanbrain, which says how threads wait
from data import (  # noqa: E402
    dataio_prepare,
    evaluation_loader,
    frame_seconds,
)
from distillation import frame_divergence, teacher_of  # noqa: E402
from front_end import prepare_front_end  # noqa: E402
from outcome import training_flops  # noqa: E402
from prompts_brain import (  # noqa: E402
    PromptsBrain,
    make_brain,
    train_and_test,
)
from pruners import pruner_of  # noqa: E402
from speech import read_tables, train_sampler  # noqa: E402
from speechbrain.dataio.dataio import length_to_mask  # noqa: E402

from leanbrain.pruning.flops.batch_seconds import full_batches  # noqa: E402
from leanbrain.pruning.flops.meter import macs  # noqa: E402
from leanbrain.recipes.folder import experiment_folder  # noqa: E402
from leanbrain.recipes.loading import load_recipe  # noqa: E402


class ASR(PromptsBrain):
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
            texts = map("".join, self.label_encoder.decode_ndim(decoded))
            self.errors.append(batch, list(texts), batch.wrd, float(loss))
        if wanted is not None:
            divergence = frame_divergence(log_probs, wanted, lens)
            loss = loss + self.hparams.distillation_weight * divergence
        return loss


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
    tables = read_tables(
        hparams, hparams["asr"]["sample_rate_hz"], frame_seconds(hparams["asr"])
    )
    datasets, encoder = dataio_prepare(hparams, tables)
    prepare_front_end(hparams, datasets)
    teacher = teacher_of(hparams)
    brain = make_brain(ASR, hparams, run_opts)
    brain.label_encoder = encoder
    brain.teacher = teacher and teacher.to(brain.device)
    loaders = {
        split: evaluation_loader(hparams, datasets[split], tables[split])
        for split in ("valid", "test")
    }
    sampler = train_sampler(hparams, tables["train"])
    train_and_test(brain, hparams, datasets, sampler, loaders, flops_of)


def flops_of(brain):
    """Floating-point operations of a training that is done."""
    hparams = vars(brain.hparams)
    batches = full_batches(brain.train_sampler, hparams["number_of_epochs"])
    return training_flops(hparams, batch_macs(hparams), batches)


def batch_macs(hparams):
    """Multiply-adds of a full batch by parameter: `max_batch_s` of speech."""
    asr = hparams["asr"]
    device = next(asr["encoder"].parameters()).device
    samples = round(hparams["max_batch_s"] * asr["sample_rate_hz"])
    silence = torch.zeros(1, samples, device=device)

    @torch.no_grad()
    def run():
        """A full batch of silence through the model."""
        asr["ctc_lin"](asr["encoder"](asr["compute_features"](silence)))

    return macs(run, hparams["modules"])


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
