"""The speech of a recipe: tables, audio, batches of one language."""

import functools
import logging
from pathlib import Path

import speechbrain as sb
from multilingual_prompts_prepare import prepare_multilingual_prompts
from speechbrain.utils.distributed import run_on_main

from leanbrain.dataio.epochs import rank_and_size
from leanbrain.dataio.manifests import load_audio, read_manifest
from leanbrain.dataio.sampler import LanguageBatchSampler
from leanbrain.dataio.synthesis import synthesise_corpus

logger = logging.getLogger(__name__)

MEMORY_BYTES = 4 * 2**30  # 37 hours at 8 kHz


def read_tables(hparams, sample_rate, frame_s=None):
    """Prepares the data on the main process; returns rows per split.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    sample_rate, frame_s
        As for `prepare_multilingual_prompts`.
    """

    def prepare():
        """Manifests of the given or synthesised speech."""
        prepare_multilingual_prompts(
            hparams["data_folder"]
            or synthesise_corpus(hparams["synthesis_folder"]),
            hparams["save_folder"],
            hparams["languages"],
            subset=hparams["subset"],
            sample_rate=sample_rate,
            frame_s=frame_s,
        )

    run_on_main(prepare)
    folder = Path(hparams["save_folder"])
    summary = prepare_multilingual_prompts(None, folder, skip_prep=True)
    return {
        split: read_manifest(folder / f"{split}.csv", summary["data_root"])
        for split in ("train", "valid", "test")
    }


def reader_of(tables, sample_rate):
    """What reads audio: each file once, if all of it fits into memory."""
    seconds = sum(
        row["duration"] for table in tables.values() for row in table.values()
    )
    size = 4 * seconds * sample_rate  # float32
    if size <= MEMORY_BYTES:
        return functools.cache(load_audio)
    logger.info(
        "audio is read anew in each epoch: %.1f GiB are more than the %.1f "
        "that are kept in memory",
        size / 2**30,
        MEMORY_BYTES / 2**30,
    )
    return load_audio


def make_datasets(tables, sample_rate, items, keys):
    """A dataset for each split.

    Arguments
    ---------
    tables : dict
        Split -> checked rows of its manifest.
    sample_rate : int
        Of the recogniser, in Hz.
    items : list
        Dynamic items beside "sig", the samples at that rate.
    keys : list of str
        What batches hold.

    Returns
    -------
    dict
        Split -> DynamicItemDataset.
    """
    audio = reader_of(tables, sample_rate)

    @sb.utils.data_pipeline.takes("wav")
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(wav):
        """The samples at the model's rate."""
        return audio(wav, sample_rate)

    datasets = {}
    for split, table in tables.items():
        data = sb.dataio.dataset.DynamicItemDataset(table)
        for item in (audio_pipeline, *items):
            data.add_dynamic_item(item)
        data.set_output_keys(keys)
        datasets[split] = data
    return datasets


def train_sampler(hparams, table):
    """Batches of one language each, in this rank's share."""
    rank, world_size = rank_and_size()
    return LanguageBatchSampler(
        [row["duration"] for row in table.values()],
        [row["lang"] for row in table.values()],
        max_batch_s=hparams["max_batch_s"],
        batches_per_epoch=hparams["batches_per_epoch"],
        temperature=hparams["temperature"],
        seed=hparams["seed"],
        rank=rank,
        world_size=world_size,
    )
