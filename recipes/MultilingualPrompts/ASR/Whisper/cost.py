"""What a run costs: measured on a typical batch before it begins."""

import logging
import statistics
import time

import speechbrain as sb
import torch
from data import tokens_of
from lobe import SAMPLE_RATE

from leanbrain.experiments.estimates import duration
from leanbrain.pruning.flops.meter import macs
from leanbrain.pruning.host.checkpoints import newest_checkpoint, steps_of

logger = logging.getLogger(__name__)

STEPS = 5  # of decoding that are timed
SAMPLE = 1000  # texts, at least half of that, for their median length
EMBEDDING = "whisper.model.decoder.embed_tokens.weight"


def announce(brain, datasets, sampler, loaders):
    """Says how long the run will take on this machine, about.

    Arguments
    ---------
    brain : ASR
        Nothing of it changes.
    datasets : dict
        Split -> dataset.
    sampler : LanguageBatchSampler
        Of the training batches.
    loaders : dict
        "valid" and "test".
    """
    epochs, steps = brain.hparams.number_of_epochs, brain.hparams.total_steps
    own = brain.hparams.save_folder
    done = steps_of(own) if newest_checkpoint(own) else 0
    train_s = 0.0
    if steps > done:
        batch = typical_batch(datasets["train"], sampler)
        train_s = timed(lambda: gradient(brain, batch))
    beams = {"valid": 1, "test": brain.hparams.test_search.beam_size}
    seconds = {
        split: evaluation_seconds(brain, datasets[split], loader, beams[split])
        for split, loader in loaders.items()
    }
    validations = epochs_left(epochs, steps, done)
    left = (steps - done) * train_s + validations * seconds["valid"]
    logger.info(
        "%d steps of about %.2f s are to be done, with %d validations of "
        "about %s and a test of about %s: about %s in all on this machine",
        steps - done,
        train_s,
        validations,
        duration(seconds["valid"]),
        duration(seconds["test"]),
        duration(left + seconds["test"]),
    )


def epochs_left(epochs, steps, done):
    """How many epochs end after the steps that are done, of all steps."""
    return epochs - done * epochs // steps if steps else epochs


def typical_batch(dataset, sampler):
    """The first epoch's batch of median length."""
    lengths = sampler.durations
    batches = sorted(
        sampler.batches(1), key=lambda x: len(x) * max(lengths[i] for i in x)
    )
    middle = batches[len(batches) // 2]
    return sb.dataio.batch.PaddedBatch([dataset[i] for i in middle])


def timed(run):
    """Seconds of the second call: the first one allocates."""
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def gradient(brain, batch):
    """Forward and backward; no gradient is kept, no random number used up."""
    trained = [p for p in brain.modules.parameters() if p.requires_grad]
    with torch.random.fork_rng(), brain.training_ctx:
        predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
        loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    torch.autograd.grad(loss, trained, allow_unused=True)


def evaluation_seconds(brain, dataset, loader, beams):
    """Seconds of decoding texts that are as long as they should be."""
    batches = sorted(loader.batch_sampler, key=len)
    middle = batches[len(batches) // 2]
    batch = sb.dataio.batch.PaddedBatch([dataset[i] for i in middle])
    whisper = brain.hparams.whisper
    batch = batch.to(brain.device)
    wavs, tokens = batch.sig.data, batch.tokens.data

    @torch.no_grad()
    def run():
        """The encoder, the loss's forward pass and a few steps of decoding."""
        with brain.evaluation_ctx:
            encoded, *_ = whisper(wavs, tokens)
            encoded, found = (
                x.repeat_interleave(beams, dim=0) for x in (encoded, tokens)
            )
            cache = None
            for step in range(STEPS):
                *_, cache = whisper.forward_decoder(
                    encoded, found[:, : step + 1], past_key_values=cache
                )

    seconds = timed(run)
    longest = tokens.shape[1] / STEPS
    return seconds * max(1.0, longest / 2) * len(batches)


def batch_macs(hparams, table):
    """Multiply-adds of a full batch by parameter: `max_batch_s` of speech.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    table : dict
        ID -> row of the training speech: utterances of median length and
        texts of median length make up the batch.
    """
    whisper = hparams["whisper"]
    device = next(whisper.parameters()).device
    rows = list(table.values())
    seconds = statistics.median(row["duration"] for row in rows)
    length = statistics.median_low(
        len(tokens_of(whisper, row["wrd"], row["lang"]))
        for row in rows[:: 1 + len(rows) // SAMPLE]
    )
    count = hparams["max_batch_s"] / seconds
    silence = torch.zeros(1, round(seconds * SAMPLE_RATE), device=device)
    tokens = torch.full((1, length - 1), whisper.eos, device=device)

    @torch.no_grad()
    def run():
        """One utterance of silence through the model."""
        whisper(silence, tokens)

    each = macs(run, hparams["modules"])
    # The output layer, which is the embedding of tokens.
    weight = whisper.model.decoder.embed_tokens.weight
    each[EMBEDDING] = float(tokens.numel() * weight.numel())
    return {name: count * value for name, value in each.items()}
