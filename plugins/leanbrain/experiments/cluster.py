"""Workers as jobs of submitit, on this machine or on a SLURM cluster.

Each job runs the same loop as a worker of the local pool. A job that is
preempted, or that reaches its limit of time, gives its trial back and is
requeued. Jobs go on when the launcher is gone: whoever calls again shares
their work and finds their rows.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_int, check_known, check_positive
from leanbrain.experiments.backends import Worker, thread_variables
from leanbrain.experiments.worker import _stop, work

__all__ = ["SubmititPool"]

# Seconds between two looks at the cluster's queue.
_LOOK_S = 2.0
_STOP_S = 15.0


class SubmititPool:
    """Workers as jobs that submitit starts.

    Arguments
    ---------
    workers : int
        How many jobs run at the same time.
    cluster : str
        "slurm", or "local" for processes of this machine.
    folder : path
        Where submitit keeps its files and the logs of the jobs; on a cluster
        it must be on a disk that all nodes share, as must the experiment.
    timeout_min : float
        Limit of time of a job, in minutes. It must be longer than a trial.
    threads : int
        Threads of each trial (OMP, MKL and the like).
    **parameters : Any
        Passed on to submitit's `AutoExecutor.update_parameters`, such as
        `cpus_per_task=4` or `slurm_partition="gpu"`.

    Raises
    ------
    UserError
        If submitit or SLURM is missing, or if it refuses a parameter.
    """

    def __init__(
        self,
        workers: int,
        cluster: str = "slurm",
        *,
        folder: str | os.PathLike[str],
        timeout_min: float = 60,
        threads: int = 1,
        **parameters: Any,
    ) -> None:
        self._workers = check_int("workers", workers, low=1)
        self._threads = check_int("threads", threads, low=1)
        check_known("cluster", cluster, ("local", "slurm"))
        check_positive("timeout_min", timeout_min)
        submitit = _submitit()
        parameters = {"name": "leanbrain", **parameters}
        try:
            self._executor = submitit.AutoExecutor(
                Path(folder).absolute(), cluster=cluster
            )
            self._executor.update_parameters(
                timeout_min=timeout_min, **parameters
            )
        # submitit raises a NameError on a parameter that it does not know.
        except (NameError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(
                f"submitit refuses to use the cluster {cluster!r}: "
                f"{' '.join(str(error).split())}"
            ) from error
        self._queue = _SlurmQueue() if cluster == "slurm" else None

    @property
    def workers(self) -> int:
        """How many trials run at the same time."""
        return self._workers

    def launch(self, plan_file: Path, number: int) -> Worker:
        """Submits a job.

        Arguments
        ---------
        plan_file : Path
            What it is to work on.
        number : int
            Which of the workers it is; all are alike.

        Returns
        -------
        Worker
            The job.

        Raises
        ------
        UserError
            If the cluster refuses the job.
        """
        try:
            job = self._executor.submit(_Work(str(plan_file), self._threads))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise UserError(
                "The job of a worker could not be submitted: "
                f"{' '.join(str(error).split())}"
            ) from error
        return _Job(job, self._queue)


class _Work:
    """What a job calls; submitit writes it to a file."""

    def __init__(self, plan_file: str, threads: int) -> None:
        self._plan_file, self._threads = plan_file, threads

    def __call__(self) -> str | None:
        """Works; returns the sentence if no worker could go on."""
        # submitit ignores it; a cluster ends jobs by it.
        signal.signal(signal.SIGTERM, _stop)
        try:
            work(self._plan_file, environment=thread_variables(self._threads))
        except UserError as error:
            return str(error)
        return None

    def checkpoint(self) -> Any:
        """Tells submitit how to go on after a requeue: just the same."""
        return _submitit().helpers.DelayedSubmission(self)


class _SlurmQueue:
    """The jobs that SLURM knows, asked for now and then for all of ours."""

    def __init__(self) -> None:
        self._asked = float("-inf")
        self._ids: set[str] | None = None
        self.looks = 0

    def ids(self) -> set[str] | None:
        """Returns the jobs that wait or run; None if SLURM does not say."""
        if time.monotonic() - self._asked >= _LOOK_S:
            self._asked = time.monotonic()
            # Not sacct, as submitit does: many clusters keep no accounts.
            done = subprocess.run(
                ["squeue", "--me", "--noheader", "--format=%i"],
                capture_output=True,
                text=True,
            )
            good = done.returncode == 0
            self._ids = set(done.stdout.split()) if good else None
            self.looks += good
        return self._ids


class _Job:
    """One job as the launcher sees it."""

    def __init__(self, job: Any, queue: _SlurmQueue | None) -> None:
        self._job, self._queue = job, queue
        self._first_look = queue.looks if queue else 0
        self._missing_since: int | None = None

    @property
    def job_id(self) -> str:
        """The number that the cluster gave it."""
        return self._job.job_id

    def poll(self) -> int | None:
        """Looks for the job's answer, or for the job."""
        if self._job.paths.result_pickle.exists():
            return self._answer()
        if self._lives():
            return None
        # It may have ended between the two questions.
        if self._job.paths.result_pickle.exists():
            return self._answer()
        return 1

    def why(self) -> str:
        """Names the file that the job wrote last."""
        return f"see {self._job.paths.stderr}"

    def stop(self) -> None:
        """Cancels the job."""
        self._job.cancel(check=False)

    def wait(self) -> None:
        """Waits until the job is gone."""
        end = time.monotonic() + _STOP_S
        while time.monotonic() < end and self._lives():
            time.sleep(0.1)

    def _lives(self) -> bool:
        """Says whether the job waits or runs."""
        if self._queue is None:
            return not self._job.done()
        ids = self._queue.ids()
        if ids is None or self._job.job_id in ids:
            self._missing_since = None
            return True
        # A new job is in no older list; a shared disk may be late.
        if self._missing_since is None:
            self._missing_since = self._queue.looks
        return self._queue.looks < max(
            self._first_look + 1, self._missing_since + 1
        )

    def _answer(self) -> int:
        """Reads what the job returned."""
        if self._job.exception() is not None:
            return 1
        sentence = self._job.result()
        if sentence is not None:
            raise UserError(sentence)
        return 0


def _submitit() -> Any:
    """Imports submitit only where it is used."""
    try:
        import submitit
        import submitit.helpers
    except ImportError as error:
        raise UserError(
            "SubmititPool needs the package submitit; install it with: "
            "pip install 'leanbrain[cluster]'"
        ) from error
    return submitit
