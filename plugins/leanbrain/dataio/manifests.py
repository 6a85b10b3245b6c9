"""Manifests: CSV files that list utterances, and the audio they name.

Columns: ID, duration (s), wav, lang, spk_id, wrd. ``wav`` starts with
``{data_root}``, which SpeechBrain's CSV reader replaces. All that can be
wrong with a data folder is found here, before training, and named.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.dataio.audio import check_audio, load_audio
from leanbrain.files import write_text

__all__ = [
    "COLUMNS",
    "SPLITS",
    "check_audio",
    "find_data_root",
    "load_audio",
    "read_manifest",
    "write_manifest",
]

COLUMNS = ("ID", "duration", "wav", "lang", "spk_id", "wrd")
SPLITS = ("train", "valid", "test")

StrPath = str | os.PathLike[str]
Rows = dict[str, dict[str, Any]]


def read_manifest(path: StrPath, data_root: StrPath | None = None) -> Rows:
    """Reads a manifest and checks every row.

    Arguments
    ---------
    path : path
        CSV file with a header.
    data_root : path
        Replaces ``{data_root}`` in `wav`; None leaves it as it is.

    Returns
    -------
    dict
        ID -> row, in the file's order, as ``DynamicItemDataset`` takes it:
        text, except "duration", which is a float (s). Further columns stay.

    Raises
    ------
    UserError
        For a file that is missing, empty or not UTF-8 CSV, a missing column,
        a duration that is no positive number, a repeated ID, or an empty
        `wav`, `lang` or `wrd`.

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
    for row in _parse(path):
        name = row["ID"]
        if name in rows:
            raise UserError(
                f"`ID` must be unique, got {name!r} twice in {path}."
            )
        rows[name] = {**row, "duration": _check_row(row, path)}
        if data_root is not None:
            wav = row["wav"].replace("{data_root}", str(data_root))
            rows[name]["wav"] = wav
    return rows


def write_manifest(path: StrPath, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a manifest, atomically; columns other than ours are left out.

    Arguments
    ---------
    path : path
        CSV file, replaced if it exists.
    rows : Iterable
        One mapping per utterance with all of ``COLUMNS``; written in order.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text, COLUMNS, extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def find_data_root(manifest: StrPath) -> Path:
    """Finds the folder that ``{data_root}`` in a manifest stands for.

    It is the folder of the manifest or the one above: the first under which
    the first audio file exists.

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
        When the first audio file is in neither; also as `read_manifest`.
    """
    first = next(iter(read_manifest(manifest).values()))["wav"]
    folder = Path(manifest).resolve().parent
    for root in (folder, folder.parent):
        if Path(first.replace("{data_root}", str(root))).is_file():
            return root
    raise UserError(
        f"the audio of {manifest} must lie in its folder or the one above, "
        f"got no file {first.replace('{data_root}', str(folder))} nor "
        f"{first.replace('{data_root}', str(folder.parent))}."
    )


def _parse(path: StrPath) -> list[dict[str, str]]:
    """Reads a CSV file with the right columns and at least one row."""
    try:
        # -sig drops the byte order mark that spreadsheets write.
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"The manifest {path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The manifest {path} must be UTF-8 text, got: {error}."
        ) from error
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    found = list(reader.fieldnames or [])
    absent = [column for column in COLUMNS if column not in found]
    if found and absent:
        raise UserError(
            f"{path} must have the columns {', '.join(COLUMNS)}; "
            f"got {', '.join(found)}, without {', '.join(absent)}."
        )
    rows = list(reader)
    if not rows:
        raise UserError(f"{path} must list at least one utterance, got none.")
    for row in rows:
        if None in row or None in row.values():
            raise UserError(
                f"every row of {path} must have {len(found)} columns, "
                f"got another number at ID {row['ID']!r}."
            )
    return rows


def _check_row(row: Mapping[str, str], path: StrPath) -> float:
    """Checks the values of one row and returns its duration (s)."""
    where = f"at ID {row['ID']!r} in {path}"
    for column in ("ID", "wav", "lang", "wrd"):
        if not row[column].strip():
            raise UserError(f"`{column}` must not be empty, got {where}.")
    if not (
        row["wav"].startswith("{data_root}") or Path(row["wav"]).is_absolute()
    ):
        raise UserError(
            "`wav` must start with {data_root} or be an absolute path, "
            f"got {row['wav']!r} {where}."
        )
    try:
        duration = float(row["duration"])
    except ValueError:
        duration = math.nan
    if not (math.isfinite(duration) and duration > 0):
        raise UserError(
            "`duration` must be a number of seconds above 0, "
            f"got {row['duration']!r} {where}."
        )
    return duration
