"""What the data preparations of recipes share: done once, redone on change."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_int
from leanbrain.dataio.audio_checks import audio_findings, rates_text
from leanbrain.dataio.audio_survey import survey
from leanbrain.dataio.findings import Finding, report
from leanbrain.dataio.manifests import SPLITS
from leanbrain.dataio.text_checks import (
    character_findings,
    compose,
    length_findings,
)
from leanbrain.files import read_json, write_json

__all__ = [
    "Checked",
    "Row",
    "check_splits",
    "count_by_language",
    "earlier_summary",
    "note_prepared",
    "was_prepared",
]

logger = logging.getLogger(__name__)

SUMMARY = "prepare.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class Checked:
    """Manifests that were compared with their audio.

    Arguments
    ---------
    splits : Mapping
        Split -> rows, their texts in one Unicode form.
    root : Path
        What `{data_root}` stands for.
    digest : str
        A hash of rows, audio and how they are used, wherever they lie.
    """

    splits: dict[str, list[Row]]
    root: Path
    digest: str

    @property
    def fingerprint(self) -> str:
        """A hash of all that the prepared manifests depend on."""
        text = f"{self.root} {self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()

    def placed(self) -> dict[str, list[Row]]:
        """Split -> rows with absolute audio paths."""
        return {k: _placed(rows, self.root) for k, rows in self.splits.items()}


def check_splits(
    splits: Mapping[str, Sequence[Row]],
    root: Path,
    folder: Path,
    sample_rate: int,
    frame_s: float | None = None,
) -> Checked:
    """Compares manifests with their audio and says all that it finds.

    Every audio file is read to its end, unless it was before and has not
    changed.

    Arguments
    ---------
    splits : Mapping
        Split -> rows of its manifest; the first is trained on.
    root : Path
        What `{data_root}` stands for.
    folder : Path
        Where findings.csv goes, the table of all findings.
    sample_rate : int
        Of the recipe, in Hz: other audio is resampled when it is read.
    frame_s : float | None
        Seconds from one output frame to the next of a recogniser that learns
        the characters of `wrd` by CTC; None: they are not learned.

    Returns
    -------
    Checked

    Raises
    ------
    UserError
        If an utterance is of no use: its audio is missing, broken, empty, not
        mono, not finite or not at the scale of [-1, 1], lasts longer or
        shorter than its `duration` says, or texts are too long throughout.
    """
    check_int("sample_rate", sample_rate, low=1)
    findings: list[Finding] = []
    composed = {}
    for split, rows in splits.items():
        composed[split], mended = compose(split, rows)
        findings += mended
    placed = {split: _placed(rows, root) for split, rows in composed.items()}
    found = survey((x["wav"] for rows in placed.values() for x in rows), root)
    for split, rows in placed.items():
        findings += audio_findings(split, rows, found)
        if frame_s is not None:
            findings += length_findings(split, rows, found, frame_s)
    if frame_s is not None:
        findings += character_findings(composed, next(iter(composed)))
    report(findings, folder, sum(map(len, splits.values())))
    for split, rows in placed.items():
        if text := rates_text(split, rows, found, sample_rate):
            logger.warning(text)
    digests = [found[x["wav"]].digest for rows in placed.values() for x in rows]
    content = [composed, sample_rate, frame_s, digests]
    hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    return Checked(composed, root, hashed.hexdigest())


def _placed(rows: Sequence[Row], root: Path) -> list[Row]:
    """Rows with absolute audio paths."""
    return [
        {**row, "wav": row["wav"].replace("{data_root}", str(root))}
        for row in rows
    ]


def was_prepared(folder: Path, fingerprint: str) -> bool:
    """Whether an earlier run left the same manifests in a folder."""
    files = [f"{split}.csv" for split in SPLITS] + [SUMMARY]
    if not all((folder / name).is_file() for name in files):
        return False
    return _note(folder).get("fingerprint") == fingerprint


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
    note = _note(folder)
    if "summary" not in note:
        raise UserError(
            f"The file {folder / SUMMARY} must be what a preparation noted "
            "down, but it is not (remove it to prepare anew)."
        )
    return note["summary"]


def _note(folder: Path) -> dict[str, Any]:
    """What was noted down; empty if it is something else."""
    note = read_json(folder / SUMMARY)
    return note if isinstance(note, dict) else {}


def count_by_language(rows: Sequence[Row]) -> dict[str, int]:
    """Counts utterances.

    Example
    -------
    >>> count_by_language([{"lang": "fr"}, {"lang": "en"}, {"lang": "fr"}])
    {'en': 1, 'fr': 2}
    """
    return dict(sorted(Counter(row["lang"] for row in rows).items()))
