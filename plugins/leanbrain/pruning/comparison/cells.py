"""What a plan is made of: trainings, and the rows that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from leanbrain.experiments.trials import Trial
from leanbrain.pruning.comparison.method import ALL, START

__all__ = ["ALL", "MASKS", "Cell", "Input", "Run", "Site"]

MASKS = "masks.pt"
"""File in the folder of a run that holds its masks."""


@dataclass(frozen=True)
class Input:
    """What every run is given beside the data, such as a pre-trained model.

    Arguments
    ---------
    key : str
        Of the recipe's YAML files.
    value : str
        Its value on this machine, such as a folder.
    digest : str
        By which it is told from others, wherever it lies.
    """

    key: str
    value: str
    digest: str


@dataclass(frozen=True)
class Site:
    """Where everything lies on this machine.

    Arguments
    ---------
    recipe : Path
        Folder of train.py and hparams/.
    methods : Path
        Folder of the YAML files of methods.
    data : Path
        Folder of the manifests.
    root : Path
        Folder of the results.
    inputs : tuple[Input, ...]
        What every run is given.
    """

    recipe: Path
    methods: Path
    data: Path
    root: Path
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Run:
    """One training.

    Arguments
    ---------
    trial : Trial
        How it is run.
    steps : int
        Its optimizer steps.
    folder : Path
        Where it leaves its files.
    needs : tuple[Run, ...]
        What it starts from.
    """

    trial: Trial
    steps: int
    folder: Path
    needs: tuple[Run, ...] = ()

    @property
    def stage(self) -> int:
        """How many trainings must have ended before it, one after another."""
        return max((x.stage + 1 for x in self.needs), default=0)


@dataclass(frozen=True)
class Cell:
    """A method at a sparsity with a seed: a row of the comparison.

    Arguments
    ---------
    method : str
        Name of the method, or `START`.
    sparsity : float
        Share of the target weights that each pathway removes.
    seed : int
        The seed.
    runs : Mapping[str, Run]
        Language -> its own run; or `ALL` -> the run of all.
    source : Cell | None
        Where its first masks come from.
    """

    method: str
    sparsity: float
    seed: int
    runs: Mapping[str, Run]
    source: Cell | None = None

    @property
    def history(self) -> list[Run]:
        """All runs that it took beyond the dense start, the last ones last."""
        if self.method == START:
            return []
        before = self.source.history if self.source else []
        return [*before, *self.runs.values()]

    @property
    def trials(self) -> list[Trial]:
        """All that make the row: of the dense start, of masks, its own."""
        return [x.trial for x in _ancestors(self.runs.values()).values()]

    @property
    def start_steps(self) -> int:
        """Optimizer steps of the dense starts; 0 for one from scratch."""
        mine = {x.trial.digest for x in self.history}
        past = _ancestors(self.runs.values())
        return sum(run.steps for name, run in past.items() if name not in mine)

    @property
    def total_steps(self) -> int:
        """Optimizer steps beyond the dense start, with those that find masks.

        Masks that several methods start with count in full for each of them:
        who wants one method only has to find them as well.
        """
        return sum(run.steps for run in self.history)


def _ancestors(runs: Iterable[Run]) -> dict[str, Run]:
    """Digest -> run, of some runs and of all that these start from."""
    found: dict[str, Run] = {}
    for run in runs:
        found |= {**_ancestors(run.needs), run.trial.digest: run}
    return found
