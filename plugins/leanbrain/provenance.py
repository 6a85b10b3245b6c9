"""Where a number comes from: the machine, the versions, the commit."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["commit", "count_cores", "host_facts", "short_commit", "versions"]

_PACKAGES = (
    "leanbrain",
    "torch",
    "torchaudio",
    "speechbrain",
    "hyperpyyaml",
    "numpy",
)


def host_facts() -> dict[str, Any]:
    """Describes the machine, without names of machine, user or folders.

    Returns
    -------
    dict
        "cpu" (model), "cores" (that this process may use), "torch_threads",
        "memory_gib", "gpu" (model or None), "platform" (system and
        architecture), "load" (mean number of busy cores in the last 1, 5 and
        15 minutes, or None where the system does not tell).

    Example
    -------
    >>> host_facts()["cores"] >= 1
    True
    """
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": _cpu_model(),
        "cores": count_cores(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpu": gpu,
        "platform": f"{platform.system()} {platform.machine()}",
        "load": _load(),
    }


def versions() -> dict[str, str]:
    """Lists the versions of Python and of the packages that matter.

    Returns
    -------
    dict
        Name -> version, "not installed" where there is none.

    Example
    -------
    >>> versions()["python"] == platform.python_version()
    True
    """
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit(file: str | os.PathLike[str] | None = None) -> str:
    """Names the git commit of the code that runs.

    Arguments
    ---------
    file : path | None
        A file of the code in question; None takes LeanBrain itself.

    Returns
    -------
    str
        The commit's 40 hexadecimal digits, followed by "-dirty" if tracked
        files differ from it; "unknown" if git does not track the file, as in
        an installed package.
    """
    path = Path(__file__ if file is None else file).resolve()
    # A virtual environment may lie inside a checkout of something else.
    if _git(path.parent, "ls-files", "--error-unmatch", path.name) is None:
        return "unknown"
    revision = _git(path.parent, "rev-parse", "HEAD")
    changes = _git(path.parent, "status", "--porcelain", "--untracked-files=no")
    if not revision or changes is None:
        return "unknown"
    return revision + ("-dirty" if changes else "")


def short_commit(name: str) -> str:
    """Shortens a commit for tables; says when the code was not as committed.

    Arguments
    ---------
    name : str
        As `commit` returns it.

    Returns
    -------
    str
        The first 8 digits, followed by "-dirty" if that was in the name.

    Example
    -------
    >>> short_commit("0123456789abcdef-dirty")
    '01234567-dirty'
    """
    revision, dirty, _ = name.partition("-dirty")
    return revision[:8] + dirty


def _git(folder: Path, *arguments: str) -> str | None:
    """Runs git without changing anything; None if it fails or is missing."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    """Returns the processor's name as the system gives it."""
    # platform.processor() is empty or only the architecture on Linux.
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def count_cores() -> int:
    """Counts the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    """Returns the size of the main memory, None if the system is silent."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return round(size / 2**30, 1)


def _load() -> list[float] | None:
    """Returns the load of the last 1, 5 and 15 minutes."""
    if not hasattr(os, "getloadavg"):
        return None
    return [round(x, 2) for x in os.getloadavg()]
