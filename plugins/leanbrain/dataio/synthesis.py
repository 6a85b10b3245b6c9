"""The demo corpus: synthetic speech in four languages, made on the spot.

A corpus is planned from its settings alone, then rendered utterance by
utterance into a cache folder whose name is a hash of the settings, the plan
and the version of espeak-ng. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import secrets
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from leanbrain.checks import UserError
from leanbrain.dataio.audio import measure
from leanbrain.dataio.corpus import Settings, plan
from leanbrain.dataio.espeak import is_repeatable, locate
from leanbrain.dataio.manifests import SPLITS, write_manifest
from leanbrain.dataio.rendering import SAMPLE_RATE, Utterance, render
from leanbrain.files import write_json

__all__ = ["Settings", "plan", "synthesise_corpus"]

logger = logging.getLogger(__name__)

# To be raised when the same plan shall sound otherwise than before.
VERSION = 1
DONE = "corpus.json"


def synthesise_corpus(
    cache_folder: str | os.PathLike[str],
    settings: Settings | None = None,
    progress: bool = True,
) -> Path:
    """Makes the corpus, or finds it in the cache.

    Arguments
    ---------
    cache_folder : path
        Corpora are kept in folders below it, one for each settings.
    settings : Settings
        None means the default ones: about 2000 utterances, half a minute.
    progress : bool
        Whether to show a bar with the time left.

    Returns
    -------
    Path
        The folder with train.csv, valid.csv, test.csv and the audio.

    Raises
    ------
    UserError
        When the extra `demo` is not installed or the disk is full.
    """
    settings = settings or Settings()
    utterances = plan(settings)
    described = describe(settings, utterances)
    folder = Path(cache_folder, f"synthetic-{digest(described)}")
    if (folder / DONE).is_file():
        logger.info("The synthetic corpus is cached in %s", folder)
        return folder
    if not is_repeatable():
        warnings.warn(
            "espeak-ng does not start afresh at each utterance here: the "
            "corpus will sound the same but differ in the last bits from "
            "that of other machines.",
            stacklevel=2,
        )
    rows = render_all(folder, utterances, progress)
    for split in SPLITS:
        write_manifest(
            folder / f"{split}.csv",
            [
                row
                for said, row in zip(utterances, rows, strict=True)
                if said.split == split
            ],
        )
    write_json(folder / DONE, described)
    return folder


def describe(settings: Any, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Returns all that decides the audio, as plain containers.

    Arguments
    ---------
    settings : dataclass
        What the plan was made from.
    utterances : Sequence[Utterance]
        The plan.

    Returns
    -------
    dict
        Equal for equal audio.
    """
    locate()
    # Also the plan: other voices or texts must not find the old audio.
    text = json.dumps([asdict(said) for said in utterances])
    return {
        "version": VERSION,
        "espeakng-loader": importlib.metadata.version("espeakng-loader"),
        "settings": asdict(settings),
        "plan": hashlib.sha256(text.encode()).hexdigest(),
    }


def digest(described: dict[str, Any]) -> str:
    """A short name for what ``describe`` returns."""
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def render_all(
    folder: Path, utterances: Sequence[Utterance], progress: bool
) -> list[dict[str, Any]]:
    """Renders what is not there yet and returns the rows of the manifest."""
    bar: Iterable[Utterance] = tqdm(
        utterances, "synthesising speech", unit="utt", disable=not progress
    )
    rows = []
    for said in bar:
        place = f"{said.language}/{said.key}.flac"
        frames = _frames(folder / place) or _write(folder / place, said)
        rows.append(
            {
                "ID": said.key,
                "duration": round(frames / SAMPLE_RATE, 4),
                "wav": "{data_root}/" + place,
                "lang": said.language,
                "spk_id": said.speaker,
                "wrd": said.text,
            }
        )
    return rows


def _frames(path: Path) -> int:
    """Returns the samples in a file of an earlier run; 0 if it is no good."""
    facts = measure(path)
    return 0 if any(facts.faults()) else facts.samples


def _write(path: Path, said: Utterance) -> int:
    """Renders an utterance into a file and returns its number of samples."""
    samples = render(said)
    # Renamed when whole, but not flushed to disk as leanbrain.files does:
    # two thousand flushes would take longer than the synthesis.
    # Of a random name, as processes of two machines may have one number.
    aside = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            aside, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16"
        )
        os.replace(aside, path)
    except (OSError, soundfile.SoundFileError) as error:
        with suppress(OSError):  # its folder may not be there
            aside.unlink()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"The file {path} cannot be written ({reason}).") from (
            error
        )
    return len(samples)
