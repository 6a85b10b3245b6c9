"""What a launcher asks of its workers, as a file."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.experiments.ledger import read_record
from leanbrain.experiments.trials import Trial
from leanbrain.files import read_json, write_json

__all__ = ["Plan", "caller_path"]


@dataclass(frozen=True)
class Plan:
    """The trials of one launch.

    Arguments
    ---------
    root : Path
        The folder of the experiment.
    trials : Sequence[Trial]
        All of them, in the order in which they are to be claimed.
    again : Mapping[str, str]
        Digest -> checksum of the row that a new one is to replace.
    max_attempts : int
        How many times a trial may take its process down.
    path : Sequence[str]
        Folders that the caller imports from.
    """

    root: Path
    trials: Sequence[Trial]
    again: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 2
    path: Sequence[str] = ()

    def is_open(self, trial: Trial) -> bool:
        """Says whether a trial is still to be run.

        Arguments
        ---------
        trial : Trial
            One of the plan's.

        Returns
        -------
        bool
            Whether its folder lacks a row, or has that which is to be
            replaced.
        """
        row = read_record(trial.folder(self.root))
        return row is None or row["checksum"] == self.again.get(trial.digest)

    def open_trials(self) -> list[Trial]:
        """Lists what is still to be run.

        Returns
        -------
        list
            The trials, in their order.
        """
        return [trial for trial in self.trials if self.is_open(trial)]

    def save(self, file: Path) -> None:
        """Writes the plan for workers to read.

        Arguments
        ---------
        file : Path
            Where; folders are made.
        """
        content = {
            "root": str(self.root.absolute()),
            "trials": [asdict(trial) for trial in self.trials],
            "again": dict(self.again),
            "max_attempts": self.max_attempts,
            "path": list(self.path),
        }
        write_json(file, content)

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> "Plan":
        """Reads a plan.

        Arguments
        ---------
        file : path
            The file.

        Returns
        -------
        Plan
            What `save` wrote.

        Raises
        ------
        UserError
            If the file is missing or is no plan.
        """
        content = read_json(file)
        try:
            content["root"] = Path(content["root"])
            content["trials"] = [Trial(**x) for x in content["trials"]]
            return cls(**content)
        except (KeyError, TypeError) as error:
            raise UserError(
                f"The file {file} must be a plan of trials, but it is not "
                f"({error})."
            ) from error

    def extend_path(self) -> None:
        """Lets this process import what the caller could, in that order."""
        # `python -m` puts the current folder first: it may hold anything.
        own = [x for x in sys.path[1:] if x not in self.path]
        sys.path[:] = [*self.path, *own]


def caller_path() -> list[str]:
    """Lists where this process imports from, as absolute folders.

    Returns
    -------
    list
        The entries of `sys.path`.
    """
    return [os.path.abspath(entry) for entry in sys.path]
