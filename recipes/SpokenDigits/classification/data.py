"""The data side of the recipe: tables, speeds, conditions, batches."""

import functools
import math
from pathlib import Path

import speechbrain as sb
from noise import Babble, Noises, to_level
from speechbrain.utils.distributed import run_on_main
from spoken_digits_prepare import prepare_spoken_digits
from torchaudio.functional import resample

from leanbrain.checks import UserError, check_fraction
from leanbrain.dataio.digits import synthesise_digits
from leanbrain.dataio.manifests import load_audio, read_manifest
from leanbrain.dataio.rendering import seed_of
from leanbrain.dataio.sampler import LanguageBatchSampler, evaluation_batches


# Every utterance is heard in many epochs and under many conditions.
@functools.cache
def read_audio(wav, sample_rate, speed=1.0):
    """Samples [time] of a file, played at another speed and so pitch."""
    samples = load_audio(wav, sample_rate)
    if speed == 1.0:
        return samples
    return resample(samples, round(sample_rate * speed), sample_rate)


def read_tables(hparams):
    """Prepares the data on the main process; returns rows per split."""

    def prepare():
        """Manifests of the given or synthesised digits."""
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
        """The samples under the condition, at one level."""
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


def train_sampler(hparams, table, batches_per_epoch, rank=0, world_size=1):
    """Shuffled batches of any language, of not too different lengths.

    Those of one rank; what all ranks must learn alike takes all of them.
    """
    return LanguageBatchSampler(
        [row["duration"] for row in table.values()],
        ["any"] * len(table),
        max_batch_s=hparams["max_batch_s"],
        batches_per_epoch=batches_per_epoch,
        jitter=0.5,
        seed=hparams["seed"],
        rank=rank,
        world_size=world_size,
    )


def evaluation_loader(hparams, dataset, table):
    """Every utterance once, sorted by length."""
    batches = evaluation_batches(
        [row["duration"] for row in table.values()],
        ["any"] * len(table),
        hparams["max_batch_s"] * 2,
    )
    return sb.dataio.dataloader.make_dataloader(dataset, batch_sampler=batches)


def make_noises(hparams, tables):
    """The conditions of the test."""
    rate = hparams["net"]["sample_rate_hz"]
    babble = Babble(
        tables["train"], functools.partial(read_audio, sample_rate=rate)
    )
    return Noises(
        hparams["noise_colours"], hparams["noise_snrs_db"], babble, rate
    )
