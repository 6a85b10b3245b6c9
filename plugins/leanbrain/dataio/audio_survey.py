"""Reads all audio of a corpus once, and remembers what it found.

What was found is kept in the cache folder (`LEANBRAIN_CACHE`, by default
`~/.cache/leanbrain`) with the size and time of change of each file: only new
and changed files, and those that could not be read, are read again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from leanbrain.checks import UserError
from leanbrain.dataio.audio import AudioFacts, measure
from leanbrain.files import read_json, write_json
from leanbrain.provenance import count_cores

__all__ = ["survey"]

logger = logging.getLogger(__name__)

VERSION = 2
QUIET_S = 3.0  # no progress bar for what takes less

Kept = dict[str, Any]


def survey(paths: Iterable[str], root: Path) -> dict[str, AudioFacts]:
    """Measures audio files, each only if it is new, changed or unreadable.

    One core reads about 100 hours of FLAC in a minute, if the disk gives them
    as fast; all cores help. The time left is shown.

    Arguments
    ---------
    paths : Iterable[str]
        The files.
    root : Path
        Folder of the corpus, by which what was found is remembered.

    Returns
    -------
    dict
        Path -> AudioFacts, also for files that are missing or broken.
    """
    memory = cache_folder() / f"audio-{_name(root)}.json"
    kept = _recall(memory)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    known = {
        path: kept[path]
        for path, stamp in stamps.items()
        if path in kept and kept[path]["stamp"] == stamp
    }
    new = [path for path in stamps if path not in known]
    if new:
        known |= {
            path: {"stamp": stamps[path], "facts": facts}
            for path, facts in zip(new, _measured(new), strict=True)
        }
        # What cannot be read is not remembered: a file that may be read by
        # now, or a decoder that knows it, changes neither size nor time.
        read = {k: x for k, x in known.items() if not x["facts"]["fault"]}
        _remember(memory, {**kept, **read})
    return {path: _facts(known[path]["facts"]) for path in stamps}


def cache_folder() -> Path:
    """Where what was found is remembered; it may be removed at any time."""
    if named := os.environ.get("LEANBRAIN_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "leanbrain"


def _measured(paths: list[str]) -> list[Kept]:
    """Facts of files, in their order."""
    # Decoders run outside of Python's lock: threads are enough.
    with ThreadPoolExecutor(count_cores()) as pool:
        bar = tqdm(
            pool.map(measure, paths),
            "reading the audio",
            len(paths),
            unit="file",
            delay=QUIET_S,
            mininterval=1.0,
        )
        return [asdict(facts) for facts in bar]


def _facts(kept: Kept) -> AudioFacts:
    """Facts as they were before they became JSON."""
    return AudioFacts(**{**kept, "fault": tuple(kept["fault"])})


def _stamp(path: str) -> list[int]:
    """Size and time of change; empty if there is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _name(root: Path) -> str:
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]


def _recall(memory: Path) -> Kept:
    """What was found earlier; nothing if it cannot be read."""
    if not memory.is_file():
        return {}
    try:
        content = read_json(memory)
    except UserError as error:
        logger.warning("All audio is read again: %s", error)
        return {}
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return {}
    return dict(content["files"])


def _remember(memory: Path, files: Mapping[str, Any]) -> None:
    """Keeps what was found for the next time."""
    try:
        write_json(memory, {"version": VERSION, "files": files})
    except UserError as error:
        logger.warning("The audio will be read again next time: %s", error)
