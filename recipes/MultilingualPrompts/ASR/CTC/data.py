"""The data side of the recipe: tables, texts, batches of one language."""

import functools
import logging
from pathlib import Path

import speechbrain as sb
import torch
from multilingual_prompts_prepare import prepare_multilingual_prompts
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.filter_analysis import stack_filter_properties

from leanbrain.checks import UserError
from leanbrain.dataio.epochs import rank_and_size
from leanbrain.dataio.manifests import load_audio, read_manifest
from leanbrain.dataio.sampler import LanguageBatchSampler, evaluation_batches
from leanbrain.dataio.synthesis import synthesise_corpus

logger = logging.getLogger(__name__)

MEMORY_BYTES = 4 * 2**30  # 37 hours at 8 kHz


def read_tables(hparams):
    """Prepares the data on the main process; returns rows per split."""

    def prepare():
        """Manifests of the given or synthesised speech."""
        prepare_multilingual_prompts(
            hparams["data_folder"]
            or synthesise_corpus(hparams["synthesis_folder"]),
            hparams["save_folder"],
            hparams["languages"],
            subset=hparams["subset"],
            sample_rate=hparams["asr"]["sample_rate_hz"],
            frame_s=frame_seconds(hparams["asr"]),
        )

    run_on_main(prepare)
    folder = Path(hparams["save_folder"])
    summary = prepare_multilingual_prompts(None, folder, skip_prep=True)
    return {
        split: read_manifest(folder / f"{split}.csv", summary["data_root"])
        for split in ("train", "valid", "test")
    }


def frame_seconds(asr):
    """Seconds from one output frame of the recogniser to the next."""
    layers = [asr["compute_features"], asr["encoder"]["frontend"]]
    return stack_filter_properties(layers).stride / asr["sample_rate_hz"]


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
    rate = hparams["asr"]["sample_rate_hz"]
    audio = reader_of(tables, rate)

    @sb.utils.data_pipeline.takes("wav")
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(wav):
        """The samples at the model's rate."""
        return audio(wav, rate)

    @sb.utils.data_pipeline.takes("wrd")
    @sb.utils.data_pipeline.provides("tokens")
    def text_pipeline(wrd):
        """The indices of the characters."""
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


def evaluation_loader(hparams, dataset, table):
    """Every utterance once, batches of one language."""
    batches = evaluation_batches(
        [row["duration"] for row in table.values()],
        [row["lang"] for row in table.values()],
        hparams["max_batch_s"] * 2,
    )
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)
