"""What a front end learns before the classifier does, and how it looks."""

import logging

import speechbrain as sb
import torch
from data import evaluation_loader, train_sampler
from noise import pink, white
from speechbrain.utils.distributed import if_main_process

from leanbrain.dataio.sampler import evaluation_batches
from leanbrain.nmf.features import NMFFeatures
from leanbrain.nmf.figures import write_figures

logger = logging.getLogger(__name__)

SPEECH, NOISE = "speech", "noise"
# Examples of noise that a block for it learns from: batches, in a batch, s.
EXAMPLES = (20, 8, 1.0)


def fit_front_end(hparams, datasets, tables):
    """Trains the dictionary of a front end that has one.

    A run that has a checkpoint finds the dictionary in it. A run that was
    stopped before the first one trains the same dictionary again.
    """
    front_end = hparams["compute_features"]
    resumed = hparams["checkpointer"].find_checkpoint() is not None
    if resumed or not hasattr(front_end, "fit"):
        return
    options = dict(hparams["front_end_fit"])
    if NOISE in front_end.dictionary.blocks:
        learn_noise(front_end, hparams["net"]["sample_rate_hz"])
        options["block_of"] = all_speech
    batches = evaluation_batches(
        [row["duration"] for row in tables["train"].values()],
        ["any"] * len(tables["train"]),
        hparams["max_batch_s"],
    )
    sampler = train_sampler(hparams, tables["train"], len(batches))
    front_end.fit(
        sb.dataio.dataloader.make_dataloader(
            datasets["train"], batch_sampler=sampler
        ),
        evaluation_loader(hparams, datasets["valid"], tables["valid"]),
        **options,
    )


def all_speech(batch):
    """The block that each utterance of a batch is for."""
    return [SPEECH] * len(batch.id)


def learn_noise(front_end, sample_rate, seed=0):
    """Trains the block of noise on white and pink noise, none of the test's.

    Arguments
    ---------
    front_end : NMFFeatures
        With a block "noise".
    sample_rate : int
        In Hz.
    seed : int
        Of the examples.
    """
    batches, count, seconds = EXAMPLES
    generator = torch.Generator().manual_seed(seed)
    size = round(seconds * sample_rate)
    for _ in range(batches):
        examples = [(white, pink)[i % 2](size, generator) for i in range(count)]
        V = front_end.spectrum(torch.stack(examples))
        front_end.dictionary.partial_fit(V, block=NOISE)


def draw_front_end(hparams, dataset, step):
    """Atoms, and the longest validation utterance in them."""
    front_end = hparams["compute_features"]
    if if_main_process() and isinstance(front_end, NMFFeatures):
        longest = max((dataset[i]["sig"] for i in range(len(dataset))), key=len)
        folder, board = hparams["output_folder"], hparams["tensorboard"]
        for path in write_figures(front_end, longest, folder, board, step):
            logger.info("Drawn: %s", path)
