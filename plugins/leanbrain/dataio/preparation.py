"""What the data preparations of recipes share: done once, redone on change."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.dataio.manifests import SPLITS
from leanbrain.files import read_json, write_json

__all__ = [
    "Row",
    "count_by_language",
    "earlier_summary",
    "fingerprint_of",
    "note_prepared",
    "resolved",
    "was_prepared",
]

SUMMARY = "prepare.json"
Row = dict[str, Any]


def resolved(splits: Mapping[str, Sequence[Row]], root: Path) -> dict[str, Row]:
    """The rows of all splits with absolute audio paths.

    Arguments
    ---------
    splits : Mapping
        Split -> rows of its manifest.
    root : Path
        What `{data_root}` stands for.

    Returns
    -------
    dict
        `<split>/<ID>` -> row.
    """
    return {
        f"{split}/{row['ID']}": {
            **row,
            "wav": row["wav"].replace("{data_root}", str(root)),
        }
        for split, rows in splits.items()
        for row in rows
    }


def fingerprint_of(splits: Mapping[str, Sequence[Row]], root: Path) -> str:
    """A hash of all that the prepared manifests depend on."""
    text = json.dumps([str(root), splits], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def was_prepared(folder: Path, fingerprint: str) -> bool:
    """Whether an earlier run left the same manifests in a folder."""
    files = [f"{split}.csv" for split in SPLITS] + [SUMMARY]
    if not all((folder / name).is_file() for name in files):
        return False
    return read_json(folder / SUMMARY)["fingerprint"] == fingerprint


def note_prepared(
    folder: Path, fingerprint: str, summary: dict[str, Any]
) -> None:
    """Notes a preparation down; its presence says that it is complete."""
    write_json(
        folder / SUMMARY, {"fingerprint": fingerprint, "summary": summary}
    )


def earlier_summary(folder: Path) -> dict[str, Any]:
    """What an earlier run noted down.

    Raises
    ------
    UserError
        If there was none.
    """
    if not (folder / SUMMARY).is_file():
        raise UserError(
            "`skip_prep` must be False at the first run, "
            f"got no {folder / SUMMARY}."
        )
    return read_json(folder / SUMMARY)["summary"]


def count_by_language(rows: Sequence[Row]) -> dict[str, int]:
    """Counts utterances.

    Example
    -------
    >>> count_by_language([{"lang": "fr"}, {"lang": "en"}, {"lang": "fr"}])
    {'en': 1, 'fr': 2}
    """
    return dict(sorted(Counter(row["lang"] for row in rows).items()))
