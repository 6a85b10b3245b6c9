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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import soundfile

from leanbrain.checks import UserError
from leanbrain.dataio.audio import AudioError, check_audio
from leanbrain.dataio.manifests import read_manifest, write_manifest
from leanbrain.files import read_json, write_json

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
    workers: int = 8,
) -> dict[str, int]:
    """Checks the data and writes a manifest for each folder.

    Arguments
    ---------
    data_folder : path
        Holds LibriSpeech/, or is that folder itself.
    save_folder : path
        Where `<folder>.csv` and `<folder>.json` (what it was made of) go;
        `{data_root}` in the manifests stands for the LibriSpeech folder.
    folders : Sequence[str]
        Names below it that are wanted.
    workers : int
        Threads that look at the audio: the work is waiting for the disk.

    Returns
    -------
    dict
        Folder -> number of its utterances, of any length.

    Raises
    ------
    UserError
        When a folder, a transcript or an audio file is missing, broken or of
        no use; the sentence names it.

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
            rows = _read_folder(transcripts, root, workers)
            write_manifest(target / f"{name}.csv", rows)
            # Last: it says that the manifest is complete.
            note = {"made_of": made_of, "utterances": len(rows)}
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
    """Names and sizes: what changes when chapters come or go."""
    lines = [
        f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n"
        for path in transcripts
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _was_prepared(target: Path, name: str, made_of: str) -> bool:
    """Whether an earlier run left this folder's manifest."""
    note = target / f"{name}.json"
    if not (note.is_file() and (target / f"{name}.csv").is_file()):
        return False
    return read_json(note)["made_of"] == made_of


def _read_folder(
    transcripts: Sequence[Path], root: Path, workers: int
) -> list[Row]:
    """Rows of all chapters in the order of their names."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [
            pool.submit(_read_chapter, path, root) for path in transcripts
        ]
        try:
            return [row for future in futures for row in future.result()]
        except BaseException:
            # One bad file is enough: the others need not be looked at.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _read_chapter(transcript: Path, root: Path) -> list[Row]:
    """Rows of one chapter."""
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
            "duration": _duration(transcript.parent / f"{name}.flac"),
            "wav": "{data_root}/"
            + (transcript.parent / f"{name}.flac").relative_to(root).as_posix(),
            "lang": "en",
            "spk_id": name.partition("-")[0],
            "wrd": words,
        }
        for name, words in said.items()
    ]


def _read_transcript(path: Path) -> dict[str, str]:
    """Utterance -> words, from lines such as `84-121123-0000 GO ON`."""
    said = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be UTF-8 text, got: {error}.") from error
    for line in lines:
        name, _, words = line.strip().partition(" ")
        if not words.strip():
            raise UserError(
                f"every line of {path} must be a name and words, got {line!r}."
            )
        said[name] = words.strip()
    return said


def _duration(path: Path) -> float:
    """Seconds of an audio file that is there, sound at both ends."""
    check_audio({path.stem: {"wav": str(path)}}, SAMPLE_RATE)
    with soundfile.SoundFile(path) as file:
        # The header of a file that was cut off announces its whole length:
        # only its last sample shows that it is not there.
        try:
            file.seek(file.frames - 1)
            complete = len(file.read(1)) == 1
        except soundfile.SoundFileError:
            complete = False
        if not complete:
            raise AudioError(
                f"{path} must hold the {file.frames} samples that its header "
                "announces, got fewer (cut off?)."
            )
        return file.frames / SAMPLE_RATE


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
