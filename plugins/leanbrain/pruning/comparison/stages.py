"""Runs the trials of a plan, each after what it starts from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from leanbrain.experiments.backends import Backend, LocalPool
from leanbrain.experiments.engine import run_trials
from leanbrain.experiments.estimates import duration, estimate
from leanbrain.experiments.ledger import Ledger
from leanbrain.pruning.comparison.cells import Cell, Run
from leanbrain.pruning.comparison.method import START

__all__ = ["all_runs", "describe", "run_plan"]


def run_plan(
    cells: Sequence[Cell],
    root: Path,
    backend: Backend | None = None,
    *,
    show: Callable[[str], None] = print,
    retry: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Runs what has not been run yet; a run that fails stops no other.

    Arguments
    ---------
    cells : Sequence[Cell]
        What `make_plan` returned.
    root : Path
        Folder of the results.
    backend : Backend | None
        Who runs the trials; None: one process per core.
    show : Callable
        Gets lines of progress.
    retry : Sequence[str]
        Statuses that are run again, such as "failed". With "done", the cells'
        own runs are; not the dense starts, nor the runs that find masks for
        them, unless they are cells as well.

    Returns
    -------
    list
        The ledger's rows of the runs that ended, whatever their end.
    """
    backend = LocalPool() if backend is None else backend
    runs, rows = all_runs(cells), []
    own = _own(cells)
    # What only helps is run again where it broke, not where it is done.
    helpers = [x for x in retry if x != "done"]
    whole = estimate(
        [x.trial for x in runs], root, backend.workers, retry=helpers
    )
    show(f"in all: {whole}")
    if "done" in retry:
        show(f"{len(own)} runs are run again if they were done")
    done: set[str] = set()
    waves = _waves(cells)
    for number, mine in enumerate(waves, 1):
        name = f"part {number} of {len(waves)}"
        able = [x for x in mine if {y.trial.digest for y in x.needs} <= done]
        if len(able) < len(mine):
            show(
                f"{name}: {len(mine) - len(able)} runs are left out, since "
                "what they start from has failed"
            )
        show(f"{name}: {len(able)} runs")
        trials = [x.trial for x in able]
        parts = [(trials, retry)]
        if "done" in retry:
            parts = [
                ([x for x in trials if x.digest not in own], helpers),
                ([x for x in trials if x.digest in own], retry),
            ]
        for part, statuses in parts:
            new = run_trials(part, root, backend, show=show, retry=statuses)
            done |= {x["digest"] for x in new if x["status"] == "done"}
            rows += new
    return rows


def _waves(cells: Sequence[Cell]) -> list[list[Run]]:
    """The runs in parts: each part needs only those before it.

    Seed by seed, so that what is done at any time can be compared; but while
    the last runs of a seed use some of the cores, the next seed begins.
    """
    placed: dict[str, tuple[int, int, Run]] = {}
    by_seed = itertools.groupby(cells, key=lambda x: x.seed)
    for turn, (_, mine) in enumerate(by_seed):
        for run in all_runs(mine):
            place = (turn + run.stage, turn, run)
            placed.setdefault(run.trial.digest, place)
    waves: dict[int, list[tuple[int, int, Run]]] = {}
    for place in placed.values():
        waves.setdefault(place[0], []).append(place)
    # Many wait for a dense start, and it takes longest.
    return [
        [
            run
            for *_, run in sorted(
                waves[x], key=lambda y: (y[2].stage > 0, y[1])
            )
        ]
        for x in sorted(waves)
    ]


def _own(cells: Iterable[Cell]) -> set[str]:
    """The runs that are rows, but for dense starts."""
    mine = [cell for cell in cells if cell.method != START]
    return {x.trial.digest for cell in mine for x in cell.runs.values()}


def all_runs(cells: Iterable[Cell]) -> list[Run]:
    """Every run that some cells need, each once, in their order.

    Arguments
    ---------
    cells : Iterable[Cell]
        The cells.

    Returns
    -------
    list
        The runs.
    """
    found: dict[str, Run] = {}
    for cell in cells:
        for run in [*cell.history, *cell.runs.values()]:
            for needed in (*run.needs, run):
                found.setdefault(needed.trial.digest, needed)
    return list(found.values())


def describe(cells: Sequence[Cell], root: Path, workers: int) -> str:
    """Says what a plan holds and what it will cost.

    Arguments
    ---------
    cells : Sequence[Cell]
        The plan.
    root : Path
        Folder of the results: what it holds is not run again.
    workers : int
        How many run at the same time.

    Returns
    -------
    str
        A line for each method and sparsity, then the sums.
    """
    ended = {x["digest"]: x["status"] for x in Ledger(root).read()}
    groups: dict[tuple[str, float], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.method, cell.sparsity), []).append(cell)
    layout = "{:<20} {:>8} {:>6} {:>6} {:>12} {:>12} {:>10}"
    heads = ("method", "sparsity", "seeds", "runs", "steps a run")
    lines = [layout.format(*heads, "total steps", "done")]
    for (method, sparsity), mine in groups.items():
        runs = [run for cell in mine for run in cell.runs.values()]
        states = [ended.get(run.trial.digest) for run in runs]
        done = f"{states.count('done')} of {len(runs)}"
        first = mine[0]
        steps = next(iter(first.runs.values())).steps
        numbers = (len(mine), len(runs), steps, first.total_steps, done)
        lines.append(layout.format(method, f"{sparsity:g}", *numbers))
    trials = [x.trial for x in all_runs(cells)]
    work = sum(x.cost_s or 0.0 for x in trials)
    return "\n".join(
        [
            *lines,
            f"{len(trials)} runs, {duration(work)} of work on one core",
            str(estimate(trials, root, workers)),
        ]
    )
