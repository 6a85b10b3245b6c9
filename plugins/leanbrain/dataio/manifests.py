"""Manifests: CSV files that list utterances, and the audio they name.

Columns: ID, duration (s), wav, lang, spk_id, wrd. ``wav`` starts with
``{data_root}``, which SpeechBrain's CSV reader replaces. What the rows say is
checked here; ``leanbrain.dataio.preparation`` compares them with the audio.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.dataio.audio import load_audio
from leanbrain.dataio.audio_checks import check_audio
from leanbrain.files import write_text
from leanbrain.tables import check_cell, read_csv

__all__ = [
    "COLUMNS",
    "SPLITS",
    "check_audio",
    "find_data_root",
    "load_audio",
    "read_manifest",
    "write_manifest",
]

logger = logging.getLogger(__name__)

COLUMNS = ("ID", "duration", "wav", "lang", "spk_id", "wrd")
SPLITS = ("train", "valid", "test")

StrPath = str | os.PathLike[str]
Rows = dict[str, dict[str, Any]]


def read_manifest(path: StrPath, data_root: StrPath | None = None) -> Rows:
    """Reads a manifest and checks every row; says how many there are.

    Arguments
    ---------
    path : path
        CSV file with a header, read as strictly as `leanbrain.tables` does.
    data_root : path
        Replaces ``{data_root}`` in `wav`; None leaves it as it is.

    Returns
    -------
    dict
        ID -> row, in the file's order, as ``DynamicItemDataset`` takes it:
        text, except "duration", which is a float (s). Further columns stay;
        `lang` is composed Unicode (NFC).

    Raises
    ------
    UserError
        For a file that is missing, empty or not sound CSV, a missing column,
        a duration that is no positive number, a repeated ID, or an empty
        `ID`, `wav`, `lang` or `wrd`: the first of them, and how many there
        are.

    Example
    -------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name, "train.csv")
    >>> row = ["a", 1.5, "{data_root}/a.flac", "en", "anna", "yes"]
    >>> write_manifest(path, [dict(zip(COLUMNS, row))])
    >>> read_manifest(path, "/data")["a"]["wav"]
    '/data/a.flac'
    >>> folder.cleanup()
    """
    rows: Rows = {}
    faults: list[str] = []
    for row in _parse(path):
        name = row["ID"]
        faults += _faults_of(row, path)
        if name in rows:
            faults.append(f"`ID` must be unique, got {name!r} twice in {path}")
        rows[name] = {
            **row,
            "duration": _seconds(row["duration"]),
            # Names are compared: one form of Unicode for all.
            "lang": unicodedata.normalize("NFC", row["lang"]),
        }
        if data_root is not None:
            wav = row["wav"].replace("{data_root}", str(data_root))
            rows[name]["wav"] = wav
    if faults:
        more = f" (and {len(faults) - 1} more faults)" * (len(faults) > 1)
        raise UserError(f"{faults[0]}{more}.")
    logger.info("%d rows of %s", len(rows), path)
    return rows


def write_manifest(
    path: StrPath,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str] = COLUMNS,
) -> None:
    """Writes a manifest, atomically; columns other than ours are left out.

    Arguments
    ---------
    path : path
        CSV file, replaced if it exists.
    rows : Iterable
        One mapping per utterance with all of the columns; written in order.
    columns : Sequence[str]
        Names of the columns, in their order.

    Raises
    ------
    UserError
        If a text holds a new line or another control character.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        where = f"at ID {row['ID']!r}, for {path}"
        writer.writerow(
            check_cell(str(row[x]), f"`{x}` {where}") for x in columns
        )
    write_text(path, text.getvalue())


def find_data_root(manifest: StrPath) -> Path:
    """Finds the folder that ``{data_root}`` in a manifest stands for.

    It is the folder of the manifest or the one above: the first under which
    one of the audio files exists.

    Arguments
    ---------
    manifest : path
        A manifest in its original place.

    Returns
    -------
    Path
        Absolute path of the folder.

    Raises
    ------
    UserError
        When no audio file is in either, or the file is no manifest.
    """
    wavs = [row["wav"] for row in _parse(manifest)]
    folder = Path(manifest).resolve().parent
    for root in (folder, folder.parent):
        places = (x.replace("{data_root}", str(root)) for x in wavs)
        if any(os.path.isfile(place) for place in places):
            return root
    raise UserError(
        f"the audio of {manifest} must lie in its folder or the one above, "
        f"got no file {wavs[0].replace('{data_root}', str(folder))} nor "
        f"{wavs[0].replace('{data_root}', str(folder.parent))}, nor any other."
    )


def _parse(path: StrPath) -> list[dict[str, str]]:
    """Reads a CSV file with the right columns and at least one row."""
    rows = read_csv(path)
    if not rows:
        raise UserError(f"{path} must list at least one utterance, got none.")
    absent = [column for column in COLUMNS if column not in rows[0]]
    if absent:
        raise UserError(
            f"{path} must have the columns {', '.join(COLUMNS)}; "
            f"got {', '.join(rows[0])}, without {', '.join(absent)}."
        )
    return rows


def _faults_of(row: Mapping[str, str], path: StrPath) -> list[str]:
    """What is wrong with the values of one row."""
    where = f"at ID {row['ID']!r} in {path}"
    faults = [
        f"`{column}` must not be empty, got {where}"
        for column in ("ID", "wav", "lang", "wrd")
        if not row[column]
    ]
    wav = row["wav"]
    if not (wav.startswith("{data_root}") or Path(wav).is_absolute()):
        faults.append(
            "`wav` must start with {data_root} or be an absolute path, "
            f"got {wav!r} {where}"
        )
    if math.isnan(_seconds(row["duration"])):
        faults.append(
            "`duration` must be a number of seconds above 0, "
            f"got {row['duration']!r} {where}"
        )
    return faults


def _seconds(text: str) -> float:
    """A duration; NaN if it is none."""
    try:
        seconds = float(text)
    except ValueError:
        return math.nan
    return seconds if 0 < seconds < math.inf and "_" not in text else math.nan
