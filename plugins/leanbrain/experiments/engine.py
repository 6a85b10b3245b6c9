"""Runs many independent trials and returns a row for each."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from leanbrain.checks import check_known
from leanbrain.experiments.backends import Backend, LocalPool
from leanbrain.experiments.crew import Crew
from leanbrain.experiments.estimates import estimate
from leanbrain.experiments.ledger import Ledger, read_record
from leanbrain.experiments.plans import Plan, caller_path
from leanbrain.experiments.processes import check_alone
from leanbrain.experiments.progress import Progress
from leanbrain.experiments.trials import STATUSES, Trial
from leanbrain.files import write_json

__all__ = ["run_trials"]

Row = dict[str, Any]


def run_trials(
    trials: Iterable[Trial],
    root: str | os.PathLike[str],
    backend: Backend | None = None,
    *,
    show: Callable[[str], None] | None = print,
    poll_s: float = 0.2,
    retry: Sequence[str] = (),
    max_attempts: int = 2,
) -> list[Row]:
    """Runs what is not recorded yet; any number of callers may share a folder.

    Arguments
    ---------
    trials : Iterable[Trial]
        The trials. Equal ones are run once.
    root : path
        The folder of the experiment.
    backend : Backend | None
        Where to run; None takes one worker for each core of this machine.
    show : Callable[[str], None] | None
        Takes the lines that say how far it is; None says nothing.
    poll_s : float
        How often to look what the workers did, in seconds.
    retry : Sequence[str]
        Statuses whose trials are run again, such as ("failed",).
    max_attempts : int
        How many processes a trial may take down before it has "crashed".

    Returns
    -------
    list
        One row for each trial, in their order.

    Raises
    ------
    UserError
        If this is one of several processes of torchrun, if the disk is full,
        or if workers end again and again without a row.
        What was recorded stays; the same call goes on from there.
    KeyboardInterrupt
        On Ctrl-C or SIGTERM, after the workers have ended and that was said.
    """
    check_alone("A launcher of trials")
    root, trials = Path(root), list(trials)
    for status in retry:
        check_known("retry", status, STATUSES)
    backend = LocalPool() if backend is None else backend
    unique = list({trial.digest: trial for trial in trials}.values())
    ledger = Ledger(root)
    rows = {row["digest"]: row for row in ledger.complete()}
    again = {
        x.digest: rows[x.digest]["checksum"]
        for x in unique
        if x.digest in rows and rows[x.digest]["status"] in retry
    }
    todo = [x for x in unique if x.digest not in rows or x.digest in again]
    if show is not None:
        show(str(estimate(unique, root, backend.workers, retry=retry)))
    if todo:
        plan = Plan(root, todo, again, max_attempts, caller_path())
        _run(plan, backend, show, poll_s)
        rows = {row["digest"]: row for row in ledger.complete()}
    return [rows[trial.digest] for trial in trials]


def _run(
    plan: Plan,
    backend: Backend,
    show: Callable[[str], None] | None,
    poll_s: float,
) -> None:
    """Writes the plan, starts workers, watches them to the end."""
    for trial in plan.trials:
        folder = trial.folder(plan.root)
        if not (folder / "trial.json").exists():
            config = {"run": trial.run, "config": trial.config}
            write_json(folder / "trial.json", config)
    plan_file = plan.root / "plans" / f"{secrets.token_hex(8)}.json"
    plan.save(plan_file)
    progress = Progress(plan.trials, backend.workers, show)
    crew = Crew(backend, plan_file.absolute(), len(plan.trials))
    try:
        with _sigterm_as_ctrl_c():
            _watch(plan, crew, progress, poll_s)
        progress.close()
    except KeyboardInterrupt:
        crew.stop()
        done = len(plan.trials) - len(plan.open_trials())
        progress.say(
            f"Interrupted: {done} of {len(plan.trials)} trials were recorded "
            f"in {plan.root}; the same command goes on from there."
        )
        raise
    finally:
        crew.stop()
        plan_file.unlink(missing_ok=True)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Lets `kill` and schedulers end the workers too, not this process alone.

    Python's own way to die of SIGTERM leaves no time for that. Other threads
    than the main one may not change it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        # None: set by C code, which Python cannot set again.
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Does what Ctrl-C does."""
    raise KeyboardInterrupt


def _watch(plan: Plan, crew: Crew, progress: Progress, poll_s: float) -> None:
    """Keeps workers alive until every trial has a row."""
    rows: dict[str, Row] = {}
    waiting, pause = list(plan.trials), min(0.02, poll_s)
    while True:
        for trial in [x for x in waiting if not plan.is_open(x)]:
            row = read_record(trial.folder(plan.root))
            if row is not None:
                rows[trial.digest] = row
                waiting.remove(trial)
        progress.update(rows)
        if not waiting:
            return
        crew.refresh(len(rows))
        time.sleep(pause)
        pause = min(2 * pause, poll_s)
