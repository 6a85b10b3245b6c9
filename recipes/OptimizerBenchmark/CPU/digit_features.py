"""Log-mel features of spoken digits: computed once, kept on disk.

The file holds tensors and plain containers only. Its name is the digest of
the data and of the settings, so that it never goes stale; several processes
may ask for it at once.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock

from leanbrain.checks import UserError
from leanbrain.dataio.digits import DIGITS, DigitSettings, synthesise_digits
from leanbrain.dataio.manifests import (
    find_data_root,
    load_audio,
    read_manifest,
)
from leanbrain.dataio.preparation import check_splits
from leanbrain.dataio.rendering import seed_of
from leanbrain.experiments.locks import held
from leanbrain.files import load_tensors, save_tensors

logger = logging.getLogger(__name__)

SYNTHETIC = DigitSettings(train=2, valid=3, test=1)
USED = ("train", "valid")
KIND, VERSION = "leanbrain.digit_features", 1


@dataclass(frozen=True)
class FeatureSettings:
    """How features are computed.

    Arguments
    ---------
    sample_rate_hz : int
        Audio of another rate is resampled.
    n_mels : int
        Mel bands.
    n_fft : int
        Points of the Fourier transform; windows are 25 ms, 10 ms apart.
    range_db : float
        Values further below the loudest one of the utterance are raised.
    silence_db : float
        Frames at the ends further below the loudest one are left out.
    edge_frames : int
        But as many of them at either end are kept.
    snr_db : float | None
        White noise of this level below the utterance; None: no noise.
    """

    sample_rate_hz: int = 8000
    n_mels: int = 40
    n_fft: int = 256
    range_db: float = 40.0
    silence_db: float = 25.0
    edge_frames: int = 6
    snr_db: float | None = None


@dataclass(frozen=True)
class Words:
    """The utterances of a split.

    Arguments
    ---------
    ids : list of str
        Names.
    groups : list of str
        Language and speaker of each.
    digits : list of int
        What each says.
    feats : list of torch.Tensor
        Normalised features [T, n_mels] of each.
    """

    ids: list
    groups: list
    digits: list
    feats: list


def load_words(data_folder, cache_folder, settings=None):
    """Reads the features from the cache; computes them the first time.

    Arguments
    ---------
    data_folder : path | None
        Has train.csv and valid.csv with a column `digit`; None stands for
        the embedded synthetic digits.
    cache_folder : path
        Where features and synthesised audio are kept.
    settings : FeatureSettings | None
        None stands for the default ones.

    Returns
    -------
    words : dict
        Split -> Words.
    digest : str
        16 hexadecimal digits of the data and the settings.
    """
    settings = settings or FeatureSettings()
    cache = Path(cache_folder)
    # One process works, the others wait for its files.
    with held(FileLock(cache / "digits.lock")):
        folder = Path(data_folder or synthesise_digits(cache, SYNTHETIC))
        root = find_data_root(folder / f"{USED[0]}.csv")
        checked = check_splits(
            {split: read_words(folder, split) for split in USED},
            root,
            cache,
            settings.sample_rate_hz,
        )
        digest = digest_of(checked.digest, settings)
        path = cache / f"features-{digest}.pt"
        if not path.is_file():
            save_tensors(path, compute(checked.placed(), settings))
    kept = load_tensors(path, kind=KIND, version=VERSION)
    return {split: unpack(kept[split]) for split in USED}, digest


def read_words(folder, split):
    """Rows of a manifest that name a digit each."""
    path = folder / f"{split}.csv"
    rows = read_manifest(path)
    known = {str(number) for number in range(len(DIGITS))}
    for name, row in rows.items():
        if row.get("digit") not in known:
            raise UserError(
                "`digit` must be a number from 0 to 9, got "
                f"{row.get('digit')!r} at ID {name!r} in {path}."
            )
    return list(rows.values())


def digest_of(data, settings):
    """Fingerprint of the data's own and of settings."""
    text = json.dumps([data, asdict(settings), VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compute(tables, settings):
    """Features of all splits, normalised by the training one."""
    # Imported late: torchaudio is slow, and the cache is mostly there.
    from speechbrain.lobes.features import Fbank

    logger.info(
        "computing features of %d words", sum(map(len, tables.values()))
    )
    fbank = Fbank(
        sample_rate=settings.sample_rate_hz,
        n_mels=settings.n_mels,
        n_fft=settings.n_fft,
    )

    def bands(samples):
        """Log-mel features of one utterance [T, F], loudest 0 dB."""
        # One by one: the floor is below the loudest of what is computed
        # together. The level of an utterance says nothing on what is said.
        feats = fbank(samples.unsqueeze(0)).squeeze(0)
        return (feats - feats.max()).clamp(min=-settings.range_db)

    def features(row):
        """Those of one word [T, F], without the silence around it."""
        samples = load_audio(row["wav"], settings.sample_rate_hz)
        speech = bands(samples)
        loud = (speech.amax(1) > -settings.silence_db).nonzero()
        first = max(0, int(loud[0]) - settings.edge_frames)
        last = int(loud[-1]) + settings.edge_frames
        if settings.snr_db is not None:
            speech = bands(noisy(samples, settings.snr_db, row["ID"]))
        return speech[first : last + 1]

    feats = {
        split: [features(row) for row in rows] for split, rows in tables.items()
    }
    frames = torch.cat(feats["train"])
    mean, deviation = frames.mean(0), frames.std(0)
    result = {"format": KIND, "version": VERSION}
    for split, rows in tables.items():
        result[split] = {
            "ids": [row["ID"] for row in rows],
            "groups": [f"{row['lang']} {row['spk_id']}" for row in rows],
            "digits": [int(row["digit"]) for row in rows],
            "frames": [len(x) for x in feats[split]],
            "feats": ((torch.cat(feats[split]) - mean) / deviation).half(),
        }
    return result


def noisy(samples, snr_db, name):
    """Samples [time] in white noise that follows from the name alone."""
    generator = torch.Generator().manual_seed(seed_of("snr_db", name))
    noise = torch.randn(len(samples), generator=generator)
    level = samples.square().mean().sqrt() * 10 ** (-snr_db / 20)
    return samples + level * noise


def unpack(kept):
    """The utterances of a split as they were before they were joined."""
    feats = kept["feats"].float().split(kept["frames"])
    return Words(kept["ids"], kept["groups"], kept["digits"], list(feats))
