"""From finished runs to the rows of a comparison."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain import provenance
from leanbrain.checks import UserError
from leanbrain.experiments.ledger import Ledger
from leanbrain.files import read_json
from leanbrain.masking.maskset import MaskSet
from leanbrain.pruning.comparison.cells import ALL, MASKS, Cell, Run
from leanbrain.pruning.comparison.rows import (
    Kept,
    Row,
    joined_commits,
    key,
)
from leanbrain.pruning.comparison.suite import Suite

__all__ = ["collect", "seeds_in"]

# Whole weights: a sparsity is met to about one weight in a layer or a model.
_NEAR = 2e-3

Results = Mapping[str, Mapping[str, Any]]


def collect(suite: Suite, text: str, cells: Sequence[Cell], root: Path) -> Kept:
    """Gathers what has been run of a plan.

    Arguments
    ---------
    suite : Suite
        What is compared.
    text : str
        Its YAML, to be kept.
    cells : Sequence[Cell]
        The plan.
    root : Path
        Folder of the results.

    Returns
    -------
    Kept
        A row for each cell whose runs have all ended well.

    Raises
    ------
    UserError
        If a run was not what the plan says of it, or was tested on other
        utterances than the others.
    """
    done = _done(root)
    rows: list[Row] = []
    heap = _Utterances()
    density, overlap = {}, {}
    for cell in cells:
        if not _is_whole(cell, done):
            continue
        name = key(cell.method, cell.sparsity, cell.seed)
        masks = _mask_facts(cell, done)
        density[name], overlap[name] = masks["density"], masks["overlap"]
        heap.add(name, cell)
        rows.append(_row(cell, done, masks))
    return Kept(
        name=suite.name,
        rows=rows,
        suite=text,
        languages=list(suite.languages),
        related=[[list(x) for x in pairs] for pairs in suite.related],
        utterances=heap.content(),
        density=density,
        overlap=overlap,
        host=provenance.host_facts(),
        commit=provenance.commit(),
        versions=provenance.versions(),
    )


def seeds_in(root: Path) -> list[int]:
    """Finds the seeds of the runs that ended well.

    Arguments
    ---------
    root : Path
        Folder of the results.

    Returns
    -------
    list
        Ascending, whether a suite names them or not.
    """
    words = [x for row in _done(root).values() for x in _command(row)]
    starts = [x for x in words if x.startswith("--seed=")]
    return sorted({int(x.removeprefix("--seed=")) for x in starts})


def _command(row: Mapping[str, Any]) -> list[str]:
    """The words that a run was started with."""
    words: list[str] = row.get("config", {}).get("command", [])
    return words


def _done(root: Path) -> Results:
    """Digest -> row of the ledger, of the runs that ended well."""
    rows = Ledger(root).read()
    return {x["digest"]: x for x in rows if x["status"] == "done"}


def _is_whole(cell: Cell, done: Results) -> bool:
    """Whether each of its runs has ended well, and what they started from."""
    return all(trial.digest in done for trial in cell.trials)


def _row(cell: Cell, done: Results, masks: Mapping[str, Any]) -> Row:
    """One line of the table."""
    for run in cell.runs.values():
        _check_run(cell, run, done[run.trial.digest]["result"])
    own = [done[run.trial.digest]["result"] for run in cell.runs.values()]
    # The dense start has no history: what it cost is its own.
    history = cell.history or list(cell.runs.values())
    past = [done[run.trial.digest]["result"] for run in history]
    cer = _merged(own, "cer")
    wer = _merged(own, "wer")
    last = own[-1]
    return {
        "method": cell.method,
        "sparsity": cell.sparsity,
        "seed": cell.seed,
        "steps": next(iter(cell.runs.values())).steps,
        "total_steps": cell.total_steps,
        "start_steps": cell.start_steps,
        "mean_cer": sum(cer.values()) / len(cer),
        **{f"cer_{language}": x for language, x in cer.items()},
        "mean_wer": sum(wer.values()) / len(wer),
        **{f"wer_{language}": x for language, x in wer.items()},
        "flops": _sum(x.get("flops") for x in past),
        "union_density": masks["union_density"],
        "minutes": sum(x["seconds"] for x in past) / 60,
        **_pairs(masks["overlap"]),
        "commit": joined_commits(
            done[trial.digest]["result"]["commit"] for trial in cell.trials
        ),
        "cpu": last["host"]["cpu"],
        "cores": last["host"]["cores"],
        "torch": last["versions"]["torch"],
        "speechbrain": last["versions"]["speechbrain"],
    }


def _check_run(cell: Cell, run: Run, result: Mapping[str, Any]) -> None:
    """Refuses a run that was not what its row would say of it."""
    planned = {
        "steps": run.steps,
        "seed": cell.seed,
        "sparsity": cell.sparsity,
    }
    for name, wanted in planned.items():
        value = result.get(name)
        near = _NEAR if name == "sparsity" else 0.0
        if value is None or abs(value - wanted) > near:
            place = key(cell.method, cell.sparsity, cell.seed)
            raise UserError(
                f"The run {run.trial.digest} of {place} must have had "
                f"`{name}` {wanted:g}, as planned, got {value}."
            )


def _merged(results: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What the runs of a cell say of their languages, in one mapping."""
    merged: dict[str, Any] = {}
    for result in results:
        merged.update(result[name])
    return merged


def _sum(values: Iterable[float | None]) -> float | None:
    """A sum; None if a part is not known."""
    found = list(values)
    return None if None in found else float(sum(x for x in found if x))


def _pairs(overlap: Mapping[str, Any]) -> dict[str, float]:
    """The overlap of every two pathways as columns."""
    names = overlap["pathways"]
    return {
        f"overlap_{names[i]}_{names[j]}": overlap["matrix"][i][j]
        for i, j in itertools.combinations(range(len(names)), 2)
    }


def _mask_facts(cell: Cell, done: Results) -> dict[str, Any]:
    """Density, overlap and union of the masks of all runs together."""
    if set(cell.runs) == {ALL}:
        result = done[cell.runs[ALL].trial.digest]["result"]
        return {
            "density": result.get("density", {}),
            "overlap": result.get("overlap", {"pathways": [], "matrix": []}),
            "union_density": result.get("union_density"),
        }
    masks = _joined({x: r.folder / MASKS for x, r in cell.runs.items()})
    return {
        "density": {
            x: {name: masks.density(x, name) for name in masks.shapes}
            for x in masks.pathways
        },
        "overlap": {
            "pathways": list(masks.pathways),
            "matrix": masks.overlap_matrix().tolist(),
        },
        "union_density": masks.union_density(),
    }


def _joined(files: Mapping[str, Path]) -> MaskSet:
    """The only mask of each file, as pathways of one model."""
    single = {name: MaskSet.load(file) for name, file in files.items()}
    joined = MaskSet(next(iter(single.values())).shapes, list(single))
    for pathway, masks in single.items():
        (only,) = masks.pathways
        for name in joined.shapes:
            joined.set(pathway, name, masks.get(only, name))
    return joined


class _Utterances:
    """Edits of every row, the utterances in one order for all."""

    def __init__(self) -> None:
        self._characters: dict[str, dict[str, int]] = {}
        self._edits: dict[str, dict[str, list[int]]] = {}

    def add(self, name: str, cell: Cell) -> None:
        """Takes the files of a cell, if it has any."""
        files = [x.folder / "utterances.json" for x in cell.runs.values()]
        if not all(file.exists() for file in files):
            return
        found = _merged([{"u": read_json(file)} for file in files], "u")
        edits = {}
        for language, heard in found.items():
            lengths = {x: heard[x][1] for x in sorted(heard)}
            if self._characters.setdefault(language, lengths) != lengths:
                raise UserError(
                    "All runs must be tested on the same utterances, got "
                    f"others of {language!r} in {name}."
                )
            edits[language] = [heard[x][0] for x in lengths]
        self._edits[name] = edits

    def content(self) -> dict[str, Any]:
        """What is kept of them."""
        return {
            "ids": {x: list(y) for x, y in self._characters.items()},
            "characters": {
                x: list(y.values()) for x, y in self._characters.items()
            },
            "edits": self._edits,
        }
