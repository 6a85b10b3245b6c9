"""The ledger: one line for every trial that has ended, whatever its end.

A row is first written to the trial's own folder, whole or not at all, and then
appended to the ledger. What a kill in between leaves out of the ledger is
found in the folder; a line that is damaged is skipped, named and mendable.
"""

import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from leanbrain.checks import UserError
from leanbrain.experiments.locks import held
from leanbrain.experiments.trials import STATUSES, canonical, hash_text, plain
from leanbrain.files import atomic_path, write_json

__all__ = ["Ledger", "check_row", "read_record", "sign"]

Row = dict[str, Any]


def sign(row: Mapping[str, Any]) -> Row:
    """Adds the checksum by which damage shows.

    Arguments
    ---------
    row : Mapping[str, Any]
        A row; a checksum in it is replaced.

    Returns
    -------
    dict
        The row with "checksum".
    """
    bare = plain("row", {k: v for k, v in row.items() if k != "checksum"})
    return {**bare, "checksum": hash_text(canonical(bare))}


def check_row(text: str | bytes) -> Row | None:
    """Reads a row and compares its checksum.

    Arguments
    ---------
    text : str | bytes
        One row as JSON.

    Returns
    -------
    dict | None
        The row; None if it is damaged.
    """
    try:
        row = json.loads(text)
        good = sign(row)["checksum"] == row["checksum"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return row if good and row.get("status") in STATUSES else None


def read_record(folder: Path) -> Row | None:
    """Reads the row that a trial's own folder holds.

    Arguments
    ---------
    folder : Path
        The folder of the trial.

    Returns
    -------
    dict | None
        The row; None if there is none or it is damaged.
    """
    try:
        row = check_row((folder / "result.json").read_bytes())
    except OSError:
        return None
    # A folder that was copied under another name says nothing of that trial.
    return row if row and row.get("digest") == folder.name else None


class Ledger:
    """The rows of one experiment.

    Arguments
    ---------
    root : path
        The folder of the experiment.

    Example
    -------
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> ledger = Ledger(folder.name)
    >>> ledger.append({"digest": "0" * 16, "status": "done"})
    >>> [row["status"] for row in ledger.read()], ledger.problems
    (['done'], [])
    >>> folder.cleanup()
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.path = self.root / "ledger.jsonl"
        self.problems: list[str] = []
        self._lock = FileLock(self.root / "ledger.lock")

    def record(self, row: Mapping[str, Any]) -> Row:
        """Keeps a row for good: in the trial's folder, then in the ledger.

        Arguments
        ---------
        row : Mapping[str, Any]
            The row; its checksum is added.

        Returns
        -------
        dict
            The row as it was written.

        Raises
        ------
        UserError
            If the disk does not take it.
        """
        signed = sign(row)
        place = self.root / "trials" / signed["digest"] / "result.json"
        # Whoever finds the row in the folder alone takes it for one that a
        # kill left out of the ledger, and adds it: so nobody may look between.
        with self._writing():
            write_json(place, signed)
            self.append(signed)
        return signed

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds one line.

        Arguments
        ---------
        row : Mapping[str, Any]
            The row; its checksum is added.

        Raises
        ------
        UserError
            If the disk does not take it; the ledger is then as it was.
        """
        line = canonical(sign(row)).encode() + b"\n"
        with self._writing():
            _append(self.path, line)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keeps others away; says which file a full disk leaves as it was."""
        with held(self._lock):
            try:
                yield
            except OSError as error:
                raise UserError(
                    f"The file {self.path} cannot be written "
                    f"({error.strerror or error}); what was there before is "
                    "untouched."
                ) from error

    def read(self) -> list[Row]:
        """Reads the newest row of every trial.

        Returns
        -------
        list
            The rows in the order in which their trials ended first. Damaged
            lines are left out: each is named in `problems` and in a warning.
        """
        rows = {row["digest"]: row for row in self._good_lines(warn=True)}
        for row in self._records():
            rows[row["digest"]] = row
        return list(rows.values())

    def complete(self) -> list[Row]:
        """Reads, and adds to the ledger what only the folders know.

        Returns
        -------
        list
            What `read` returns.
        """
        with _locked_if_possible(self._lock):
            rows = self.read()
            known = {row["checksum"] for row in self._good_lines()}
            for row in rows:
                if row["checksum"] not in known:
                    self.append(row)
        return rows

    def repair(self) -> int:
        """Writes the ledger anew from what is good.

        Returns
        -------
        int
            How many damaged lines were taken out; they are kept in
            `ledger.damaged.jsonl` beside the ledger.

        Raises
        ------
        UserError
            If the disk does not take it; the ledger is then as it was.
        """
        with held(self._lock):
            lines = _lines(self.path)
            bad = [line for line in lines if check_row(line) is None]
            good = [line for line in lines if check_row(line) is not None]
            if bad:
                beside = self.path.with_suffix(".damaged.jsonl")
                _write(beside, [*_lines(beside), *bad])
                _write(self.path, good)
        self.complete()
        return len(bad)

    def _good_lines(self, warn: bool = False) -> list[Row]:
        """Reads all lines that are whole; names the others."""
        rows, problems = [], []
        with _locked_if_possible(self._lock):
            lines = _content(self.path).split(b"\n")
        for number, line in enumerate(lines, start=1):
            row = check_row(line)
            if not line.strip():
                continue
            if row is None:
                problems.append(
                    f"Line {number} of {self.path} is damaged and was skipped"
                    "; Ledger.repair() takes it out."
                )
            else:
                rows.append(row)
        if warn:
            self.problems = problems
            for problem in problems:
                warnings.warn(problem, stacklevel=3)
        return rows

    def _records(self) -> list[Row]:
        """Reads the rows that lie in the trials' folders, in a fixed order."""
        found = (
            read_record(path.parent)
            for path in self.root.glob("trials/*/result.json")
        )
        rows = [row for row in found if row is not None]
        return sorted(rows, key=lambda x: (x.get("started", ""), x["digest"]))


def _lines(path: Path) -> list[bytes]:
    """Returns the lines of a file that hold anything."""
    return [line for line in _content(path).split(b"\n") if line.strip()]


def _content(path: Path) -> bytes:
    """Reads a file; a missing one is empty."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@contextmanager
def _locked_if_possible(lock: FileLock) -> Iterator[None]:
    """Waits for a writer; a folder that cannot be written has none."""
    with ExitStack() as stack:
        # The lock would make the folder of an experiment that is not there.
        with suppress(OSError):
            Path(lock.lock_file).parent.stat()
            stack.enter_context(lock)
        yield


def _write(path: Path, lines: list[bytes]) -> None:
    """Writes lines as a new file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in lines))


def _append(path: Path, line: bytes) -> None:
    """Appends a line by one write; takes a part of it back."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        # Whoever was interrupted here left a line without its end.
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            written = os.write(handle, line)
            if written < len(line):
                # The rest makes the system say what is wrong.
                written += os.write(handle, line[written:])
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
