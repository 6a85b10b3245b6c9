"""Calls the function of one trial and says how that ended."""

import errno
import importlib
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.experiments.trials import Trial, plain

__all__ = ["DiskError", "call", "load", "seed_everything", "stopped_by_disk"]

Outcome = dict[str, Any]

_RETURNED = ("done", "diverged", "void")
_DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
}


class DiskError(UserError):
    """The disk does not take what is written: no fault of any trial."""


def load(run: str) -> Callable[..., Any]:
    """Imports the function of a trial.

    Arguments
    ---------
    run : str
        "module:function".

    Returns
    -------
    Callable
        The function.

    Raises
    ------
    UserError
        If the module has no such function.
    """
    module, _, name = run.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise UserError(f"`run` must name a function, got {run!r}.")
    return function


def call(
    trial: Trial,
    folder: Path,
    announce: Callable[[], None] = lambda: None,
) -> Outcome:
    """Runs one trial in this process; whatever goes wrong is an outcome.

    Arguments
    ---------
    trial : Trial
        What to run.
    folder : Path
        The trial's folder; the function gets `work` inside, emptied before
        unless the function has an attribute `resumable` that is true.
    announce : Callable[[], None]
        Called when the modules are loaded, just before the clock starts.

    Returns
    -------
    dict
        "status", "reason", "result", "seconds" and "started".

    Raises
    ------
    DiskError
        If the disk is full: the trial has not ended then.
    """
    outcome: Outcome = {"started": _utc(), "seconds": 0.0, "result": None}
    start = time.monotonic()
    (folder / "error.txt").unlink(missing_ok=True)
    try:
        function = load(trial.run)
        work = _make_work(folder, bool(getattr(function, "resumable", False)))
        announce()
        outcome["started"], start = _utc(), time.monotonic()
        with _own_state(trial.digest):
            value = function(dict(trial.config), work, **trial.context)
        outcome["seconds"] = time.monotonic() - start
        outcome.update(_ending(value))
    # SystemExit too: a script that gives up is a trial that failed.
    except (Exception, SystemExit) as error:
        outcome["seconds"] = time.monotonic() - start
        disk = stopped_by_disk(error)
        if disk is not None:
            raise DiskError(
                f"The disk does not take what is written below {folder} "
                f"({disk}); the trial stays open."
            ) from error
        outcome.update(status="failed", reason=_sentence(error))
        with suppress(OSError):
            text = "".join(traceback.format_exception(error))
            (folder / "error.txt").write_text(text, encoding="utf-8")
    return outcome


def stopped_by_disk(error: BaseException | None) -> str | None:
    """Looks for a full or broken disk among the causes of an error.

    Arguments
    ---------
    error : BaseException | None
        What was raised.

    Returns
    -------
    str | None
        What the system said, None if the disk is not to blame.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return None


def seed_everything(digest: str) -> None:
    """Seeds what a trial may draw from without having seeded it.

    A worker runs many trials one after the other: without this a trial that
    forgot its seed would depend on which ones came before.

    Arguments
    ---------
    digest : str
        The trial's, in hexadecimal digits.
    """
    seed = int(digest, 16)
    random.seed(seed)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    if torch is not None:
        torch.manual_seed(seed % 2**63)


@contextmanager
def _own_state(digest: str) -> Iterator[None]:
    """Gives a trial its seeds; takes back what it did to the process."""
    environment, folder, path = dict(os.environ), os.getcwd(), list(sys.path)
    seed_everything(digest)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.path[:] = path


def _ending(value: Any) -> Outcome:
    """Splits what a function returned into status, reason and result."""
    if not isinstance(value, Mapping):
        raise UserError(
            "A run function must return a dict of plain JSON, "
            f"got {type(value).__name__}."
        )
    result = plain("result", value)
    status = result.pop("status", "done")
    reason = result.pop("reason", None)
    if status not in _RETURNED:
        raise UserError(
            f"The returned status must be one of {', '.join(_RETURNED)}; "
            f"got {status!r}."
        )
    if reason is None and status != "done":
        reason = "The run function gave no reason."
    return {"status": status, "reason": reason, "result": result}


def _make_work(folder: Path, keep: bool) -> Path:
    """Makes the folder that the function may fill."""
    work = folder / "work"
    if not keep:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    return work


def _sentence(error: BaseException) -> str:
    """Says in one line what was raised."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    name = type(error).__name__
    return f"{name}: {text[:300]}" if text else name


def _utc() -> str:
    """Returns the time of day in UTC, to the microsecond."""
    return datetime.now(timezone.utc).isoformat()
