"""Checks texts that a recogniser learns, character by character."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leanbrain.dataio.audio import AudioFacts
from leanbrain.dataio.findings import Effect, Finding

__all__ = [
    "character_findings",
    "compose",
    "ctc_frames",
    "length_findings",
    "needed_frames",
]

MANY = 0.1
"""From this share of a split on, too long texts are no accident."""

TEXTS = ("spk_id", "wrd")

Row = dict[str, Any]


def compose(split: str, rows: Sequence[Row]) -> tuple[list[Row], list[Finding]]:
    """Brings all texts into one Unicode form, NFC.

    An accent is then part of its letter, in every split; otherwise "é" of one
    file is one character and that of another two.

    Arguments
    ---------
    split : str
        Its name.
    rows : Sequence
        Rows of its manifest.

    Returns
    -------
    rows : list
        The same rows, composed.
    findings : list
        One for each row that changed.
    """
    composed = [
        {**row, **{x: unicodedata.normalize("NFC", row[x]) for x in TEXTS}}
        for row in rows
    ]
    findings = [
        Finding(
            split,
            old["ID"],
            Effect.MENDED,
            "must be in composed Unicode (NFC)",
            f"{old['wrd'][:40]!r}",
        )
        for old, new in zip(rows, composed, strict=True)
        if old != new
    ]
    return composed, findings


def needed_frames(text: str) -> int:
    """Counts the frames that CTC takes at least for a text.

    Example
    -------
    >>> needed_frames("hello")  # a blank between the two l
    6
    """
    return len(text) + sum(a == b for a, b in zip(text, text[1:], strict=False))


def ctc_frames(seconds: float, frame_s: float) -> int:
    """Counts the frames of a recogniser's output.

    Example
    -------
    >>> ctc_frames(0.1, 0.04)
    3
    """
    # The sum of steps must not fall below a whole number by rounding.
    return 1 + int(seconds / frame_s + 1e-6)


def length_findings(
    split: str,
    rows: Sequence[Row],
    found: Mapping[str, AudioFacts],
    frame_s: float,
) -> Iterator[Finding]:
    """Texts for which CTC has too few frames: no gradient, never right.

    Arguments
    ---------
    split : str
        Its name.
    rows : Sequence
        Rows with an absolute `wav`.
    found : Mapping
        Path -> AudioFacts.
    frame_s : float
        Seconds from one frame of the output to the next.

    Yields
    ------
    Finding
        Kept if there are few, else refused.
    """
    long = []
    for row in rows:
        seconds = found[row["wav"]].seconds
        frames = ctc_frames(seconds, frame_s)
        needed = needed_frames(row["wrd"])
        if seconds and needed > frames:
            long.append((row["ID"], needed, frames))
    refused = len(long) > MANY * len(rows)
    for name, needed, frames in long:
        yield Finding(
            split,
            name,
            Effect.REFUSED if refused else Effect.KEPT,
            f"should have a frame of {1000 * frame_s:g} ms for each character",
            f"{frames} frames, where CTC needs {needed}",
        )


def character_findings(
    splits: Mapping[str, Sequence[Row]], training: str
) -> Iterator[Finding]:
    """Texts with characters that training never shows.

    Arguments
    ---------
    splits : Mapping
        Split -> rows.
    training : str
        The split that is trained on.

    Yields
    ------
    Finding
    """
    known = {x for row in splits[training] for x in row["wrd"]}
    for split, rows in splits.items():
        for row in rows:
            strange = sorted(set(row["wrd"]) - known)
            if strange:
                yield Finding(
                    split,
                    row["ID"],
                    Effect.KEPT,
                    "should have no character that training has not",
                    ", ".join(f"{x!r} (U+{ord(x):04X})" for x in strange),
                )
