"""What a run measured, as JSON lines that survive kills and resumes."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from leanbrain._strict_json import strict_json
from leanbrain.checks import UserError
from leanbrain.files import atomic_path

__all__ = ["History", "read_history"]


class History:
    """Appends records to a file, one JSON object a line.

    The file is touched at the first record. Only then are lines dropped that
    a resumed run will write again: loading an older checkpoint to test it
    must not cost the history that came after it.

    Arguments
    ---------
    path : path
        The file; its folder is made if it is missing.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> history = History(Path(folder.name) / "history.jsonl")
    >>> history.append({"step": 5, "kind": "loss", "loss": {"en": 2.5}})
    >>> read_history(history.path)
    [{'step': 5, 'kind': 'loss', 'loss': {'en': 2.5}}]
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.lines = 0  # whole lines that belong to this run
        self._resume: tuple[int, int] | None = None  # step and lines to keep
        self._started = False

    def resume(self, step: int, lines: int) -> None:
        """Continues from a checkpoint.

        Arguments
        ---------
        step : int
            Lines of later steps are dropped, at the next record.
        lines : int
            Number of lines when the checkpoint was saved; those after it
            are dropped as well.
        """
        self._resume = (step, lines)
        self.lines = lines
        self._started = False

    def append(self, record: Mapping[str, Any], keep_all: bool = False) -> None:
        """Writes a record and flushes it.

        Arguments
        ---------
        record : Mapping
            Holds "step"; numbers that are not finite become null.
        keep_all : bool
            True drops no line but a half-written last one: for records that
            do not continue the training.
        """
        if keep_all:
            self._keep(lambda index, step: True)
        elif not self._started:
            self._start(record["step"])
        text = json.dumps(_finite(record), ensure_ascii=False, allow_nan=False)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
        self.lines += 1

    def _start(self, step: int) -> None:
        """Drops what this run will write again."""
        if self._resume is None:
            # A new run in the folder of an older one, which was killed
            # before its first checkpoint (or whose history is not saved).
            self._keep(lambda index, other: other < step)
        else:
            last, lines = self._resume
            self._keep(lambda index, other: index < lines and other <= last)
        self._started = True

    def _keep(self, wanted: Callable[[int, int], bool]) -> None:
        """Rewrites the file without the lines that are not wanted."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        old = self.path.read_bytes() if self.path.exists() else b""
        whole = old[: old.rfind(b"\n") + 1].splitlines(keepends=True)
        records = [_parse(self.path, i, x) for i, x in enumerate(whole)]
        kept = [
            line
            for i, line in enumerate(whole)
            if wanted(i, int(records[i]["step"]))
        ]
        self.lines = len(kept)
        new = b"".join(kept)
        if new != old:
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(new)


def read_history(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads all records of a history.

    Arguments
    ---------
    path : path
        A file that `History` wrote. A half-written last line is left out.

    Returns
    -------
    list
        The records; empty if there is no such file.

    Raises
    ------
    UserError
        If a line is not a JSON object with a step.
    """
    if not Path(path).exists():
        return []
    content = Path(path).read_bytes()
    whole = content[: content.rfind(b"\n") + 1].splitlines()
    return [_parse(path, i, line) for i, line in enumerate(whole)]


def _parse(
    path: str | os.PathLike[str], index: int, line: bytes
) -> dict[str, Any]:
    """Reads one line; says which one is broken."""
    try:
        record = strict_json(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        raise UserError(
            f"The file {path} must hold JSON objects with a step, got "
            f"{line[:40].decode(errors='replace')!r} in line {index + 1}."
        )
    return record


def _finite(value: Any) -> Any:
    """Replaces NaN and infinity, which JSON does not know, by None."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(x) for x in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
