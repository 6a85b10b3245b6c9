"""Compares manifests with their audio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain.dataio.audio import AudioError, AudioFacts
from leanbrain.dataio.audio_survey import survey
from leanbrain.dataio.findings import Effect, Finding

__all__ = ["audio_findings", "check_audio", "rate_findings", "rates_text"]

QUIET = 1e-3
"""A peak below it, -60 dB, is no speech at the scale of [-1, 1]."""

# A duration of a manifest may be off by both.
ROUNDING_S = 0.1
ROUNDING_SHARE = 0.05

Row = Mapping[str, Any]


def check_audio(
    rows: Mapping[str, Row], sample_rate: int | None = None
) -> None:
    """Checks audio files by reading them to their ends.

    Arguments
    ---------
    rows : Mapping
        ID -> row with an absolute `wav`, as `read_manifest` gives them.
    sample_rate : int
        In Hz, that all must have; None allows any.

    Raises
    ------
    AudioError
        Names the first file that is missing, no mono audio, cut off, empty,
        not finite, not at the scale of [-1, 1], or of another sample rate,
        and how many there are.
    """
    paths = [str(row["wav"]) for row in rows.values()]
    found = survey(paths, Path(paths[0]).parent if paths else Path())
    faults = []
    for path in paths:
        mine = list(found[path].faults())
        rate = found[path].sample_rate
        if not mine and sample_rate not in (None, rate):
            mine = [(f"must be sampled at {sample_rate} Hz", f"{rate} Hz")]
        faults += [(path, *x) for x in mine[:1]]
    if len(faults) > 1:
        path, rule, got = faults[0]
        raise AudioError(
            f"{len(faults)} of {len(paths)} audio files are of no use, the "
            f"first: {path} {rule}, got {got}."
        )
    for path, rule, got in faults:
        raise AudioError.of(path, rule, got)


def audio_findings(
    split: str, rows: Sequence[Row], found: Mapping[str, AudioFacts]
) -> Iterator[Finding]:
    """What is wrong with the audio of a manifest, or with its durations.

    Arguments
    ---------
    split : str
        Its name.
    rows : Sequence
        Rows with an absolute `wav`.
    found : Mapping
        Path -> AudioFacts.

    Yields
    ------
    Finding
    """
    for row in rows:
        facts = found[row["wav"]]
        name, faults = row["ID"], list(facts.faults())
        for rule, got in faults:
            text = f"{got} ({row['wav']})"
            yield Finding(split, name, Effect.REFUSED, rule, text)
        if faults:
            continue
        off = abs(row["duration"] - facts.seconds)
        if off > max(ROUNDING_S, ROUNDING_SHARE * facts.seconds):
            yield Finding(
                split,
                name,
                Effect.REFUSED,
                "must last the seconds that its manifest says",
                f"{facts.seconds:.3f} s of audio for a duration of "
                f"{row['duration']:g}",
            )
        if facts.peak is not None and facts.peak < QUIET:
            got = f"a peak of {facts.peak:.2g}" if facts.peak else "silence"
            rule = "should reach -60 dB of full scale"
            yield Finding(split, name, Effect.KEPT, rule, got)


def rate_findings(
    split: str,
    rows: Sequence[Row],
    found: Mapping[str, AudioFacts],
    sample_rate: int,
) -> Iterator[Finding]:
    """Audio of another rate, where it must be of one.

    Arguments
    ---------
    split, rows, found
        As for `audio_findings`.
    sample_rate : int
        In Hz.

    Yields
    ------
    Finding
    """
    for row in rows:
        rate = found[row["wav"]].sample_rate
        if rate not in (0, sample_rate):
            yield Finding(
                split,
                row["ID"],
                Effect.REFUSED,
                f"must be sampled at {sample_rate} Hz",
                f"{rate} Hz ({row['wav']})",
            )


def rates_text(
    split: str,
    rows: Sequence[Row],
    found: Mapping[str, AudioFacts],
    sample_rate: int,
) -> str:
    """What is resampled, in a sentence; empty if nothing is.

    Arguments
    ---------
    split, rows, found
        As for `audio_findings`.
    sample_rate : int
        Of the recipe, in Hz.

    Returns
    -------
    str
    """
    rates = Counter(found[row["wav"]].sample_rate for row in rows)
    others = {x: n for x, n in sorted(rates.items()) if x != sample_rate}
    if not others:
        return ""
    listed = ", ".join(f"{n:,} at {x} Hz" for x, n in others.items())
    low = min(others)
    dull = f" (those at {low} Hz hold nothing above {low // 2} Hz)"
    return (
        f"{split}: {listed} of {len(rows):,} files are resampled to "
        f"{sample_rate} Hz whenever they are read"
        f"{dull * (low < sample_rate)}"
    )
