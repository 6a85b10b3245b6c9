"""The texts of the recipe as characters, and its batches."""

from pathlib import Path

import speechbrain as sb
import torch
from speech import make_datasets
from speechbrain.utils.filter_analysis import stack_filter_properties

from leanbrain.checks import UserError
from leanbrain.dataio.sampler import evaluation_batches


def frame_seconds(asr):
    """Seconds from one output frame of the recogniser to the next."""
    layers = [asr["compute_features"], asr["encoder"]["frontend"]]
    return stack_filter_properties(layers).stride / asr["sample_rate_hz"]


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

    @sb.utils.data_pipeline.takes("wrd")
    @sb.utils.data_pipeline.provides("tokens")
    def text_pipeline(wrd):
        """The indices of the characters."""
        return torch.LongTensor(encoder.encode_sequence(list(wrd)))

    datasets = make_datasets(
        tables,
        hparams["asr"]["sample_rate_hz"],
        [text_pipeline],
        ["id", "sig", "tokens", "wrd", "lang"],
    )

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


def evaluation_loader(hparams, dataset, table):
    """Every utterance once, batches of one language."""
    batches = evaluation_batches(
        [row["duration"] for row in table.values()],
        [row["lang"] for row in table.values()],
        hparams["max_batch_s"] * 2,
    )
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)
