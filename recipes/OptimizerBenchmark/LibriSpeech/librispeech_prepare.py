"""Data preparation: manifests of LibriSpeech.

Reads the official layout (openslr.org/12), `<folder>/<speaker>/<chapter>/`
with `*.flac` and one `<speaker>-<chapter>.trans.txt`, and writes a manifest
per folder, such as train-clean-100.csv. A folder that was done is not read
again; an interrupted preparation continues with the next folder.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.dataio.audio_checks import audio_findings, rate_findings
from leanbrain.dataio.audio_survey import survey
from leanbrain.dataio.findings import report
from leanbrain.dataio.manifests import read_manifest, write_manifest
from leanbrain.files import read_json, read_text, write_json

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16000
# Utterances of the official folders, openslr.org/12.
OFFICIAL = {
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
    "dev-clean": 2703,
    "dev-other": 2864,
    "test-clean": 2620,
}

Row = dict[str, Any]


def prepare_librispeech(
    data_folder: str | os.PathLike[str],
    save_folder: str | os.PathLike[str],
    folders: Sequence[str] = tuple(OFFICIAL),
) -> dict[str, int]:
    """Checks the data and writes a manifest for each folder.

    All audio is read to its end, once.

    Arguments
    ---------
    data_folder : path
        Holds LibriSpeech/, or is that folder itself.
    save_folder : path
        Where `<folder>.csv` and `<folder>.json` (what it was made of) go;
        `{data_root}` in the manifests stands for the LibriSpeech folder.
    folders : Sequence[str]
        Names below it that are wanted.

    Returns
    -------
    dict
        Folder -> number of its utterances, of any length.

    Raises
    ------
    UserError
        When a folder, a transcript or an audio file is missing, broken or of
        no use; the sentence names it, and `<folder>/findings.csv` all.

    Example
    -------
    >>> prepare_librispeech("missing", "save", ["dev-clean"])
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `data_folder` must hold ... got missing.
    """
    root, target = find_root(data_folder, folders), Path(save_folder)
    counts = {}
    for name in folders:
        transcripts = sorted((root / name).glob("*/*/*.trans.txt"))
        if not transcripts:
            raise UserError(
                f"{root / name} must hold <speaker>/<chapter>/*.trans.txt, "
                "got none."
            )
        made_of = _fingerprint(transcripts, root)
        if not _was_prepared(target, name, made_of):
            note = _prepare_folder(name, transcripts, root, target)
            # Last: it says that the manifest is complete.
            note["made_of"] = made_of
            write_json(target / f"{name}.json", note)
        counts[name] = read_json(target / f"{name}.json")["utterances"]
        _tell(name, counts[name])
    return counts


def find_root(
    data_folder: str | os.PathLike[str], folders: Iterable[str]
) -> Path:
    """The LibriSpeech folder: the one given, or LibriSpeech/ in it.

    Raises
    ------
    UserError
        If it lacks one of the folders.
    """
    given = Path(data_folder)
    root = given / "LibriSpeech"
    root = (root if root.is_dir() else given).resolve()
    absent = [name for name in folders if not (root / name).is_dir()]
    if absent:
        raise UserError(
            f"`data_folder` must hold LibriSpeech/{absent[0]} "
            f"(from openslr.org/12), got {given}."
        )
    return root


def _fingerprint(transcripts: Sequence[Path], root: Path) -> str:
    """Names, sizes and times of change of all transcripts and audio files."""
    hashed = hashlib.sha256()
    for transcript in transcripts:
        for path in sorted(transcript.parent.iterdir()):
            found = path.stat()
            hashed.update(
                f"{path.relative_to(root).as_posix()} {found.st_size} "
                f"{found.st_mtime_ns}\n".encode()
            )
    return hashed.hexdigest()


def _was_prepared(target: Path, name: str, made_of: str) -> bool:
    """Whether an earlier run left this folder's manifest."""
    note = target / f"{name}.json"
    if not (note.is_file() and (target / f"{name}.csv").is_file()):
        return False
    noted = read_json(note)
    return isinstance(noted, dict) and noted.get("made_of") == made_of


def _prepare_folder(
    name: str, transcripts: Sequence[Path], root: Path, target: Path
) -> dict[str, Any]:
    """Writes the manifest of a folder; returns what to note of it."""
    said = [row for path in transcripts for row in _read_chapter(path)]
    found = survey((row["wav"] for row in said), root)
    rows = [{**row, "duration": found[row["wav"]].seconds} for row in said]
    findings = [
        *audio_findings(name, rows, found),
        *rate_findings(name, rows, found, SAMPLE_RATE),
    ]
    report(findings, target / name, len(rows))
    for row in rows:
        place = Path(row["wav"]).relative_to(root).as_posix()
        row["wav"] = f"{{data_root}}/{place}"
    write_manifest(target / f"{name}.csv", rows)
    audio = " ".join(facts.digest for facts in found.values())
    return {
        "utterances": len(rows),
        "audio": hashlib.sha256(audio.encode()).hexdigest(),
    }


def _read_chapter(transcript: Path) -> list[Row]:
    """Rows of one chapter, but for their durations."""
    said = _read_transcript(transcript)
    heard = {path.stem for path in transcript.parent.glob("*.flac")}
    if heard - set(said):
        raise UserError(
            f"every audio file must have a line in {transcript}, got none "
            f"for {min(heard - set(said))}.flac."
        )
    return [
        {
            "ID": name,
            "wav": str(transcript.parent / f"{name}.flac"),
            "lang": "en",
            "spk_id": name.partition("-")[0],
            "wrd": words,
        }
        for name, words in said.items()
    ]


def _read_transcript(path: Path) -> dict[str, str]:
    """Utterance -> words, from lines such as `84-121123-0000 GO ON`."""
    said: dict[str, str] = {}
    text = read_text(path, "transcript").replace("\r\n", "\n")
    for line in text.split("\n"):
        name, _, words = line.strip().partition(" ")
        if line.strip() and not words.strip():
            raise UserError(
                f"every line of {path} must be a name and words, got {line!r}."
            )
        if name in said:
            raise UserError(
                f"every name must have one line in {path}, got {name} twice."
            )
        if name:
            said[name] = words.strip()
    return said


def _tell(name: str, count: int) -> None:
    """Says what was found, and that it is not all where it is not."""
    official = OFFICIAL.get(name, count)
    if count == official:
        logger.info("%s: %d utterances", name, count)
    else:
        logger.warning(
            "%s: %d utterances, not the official %d: results do not compare",
            name,
            count,
            official,
        )


def read_rows(
    save_folder: str | os.PathLike[str],
    root: str | os.PathLike[str],
    folders: Iterable[str],
    max_s: float,
    max_characters: int,
) -> dict[str, Row]:
    """Utterances of some folders that the benchmark uses.

    Arguments
    ---------
    save_folder : path
        Where `prepare_librispeech` left the manifests.
    root : path
        The LibriSpeech folder, from `find_root`.
    folders : Iterable[str]
        Which of them.
    max_s : float
        Longer utterances are left out (s).
    max_characters : int
        Utterances of longer transcripts, with blanks, are left out.

    Returns
    -------
    dict
        ID -> row, audio paths absolute.

    Raises
    ------
    UserError
        If nothing is left.
    """
    rows = {}
    for name in folders:
        found = read_manifest(Path(save_folder) / f"{name}.csv", root)
        rows.update(
            {
                key: row
                for key, row in found.items()
                if row["duration"] <= max_s
                and len(row["wrd"]) <= max_characters
            }
        )
    if not rows:
        raise UserError(
            f"{', '.join(folders)} must hold an utterance of at most {max_s} s "
            f"and {max_characters} characters, got none."
        )
    return rows
