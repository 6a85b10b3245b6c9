"""Reads a suite from YAML: the file that a user of the benchmark edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from leanbrain.checks import UserError, check_known
from leanbrain.experiments.backends import Backend, LocalPool
from leanbrain.files import read_text
from leanbrain.hyperyaml import load_yaml
from leanbrain.optbench.optimizers.building import first_line
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.suite.suite import Suite, find_optimizers
from leanbrain.optbench.suite.workload_file import read_workload
from leanbrain.shipped import find_yaml

__all__ = ["SuiteFile", "load_suite"]

REQUIRED = ("rules", "workloads", "optimizers", "targets")
PLAIN = ("threads", "processes", "device", "calibration_steps")
OPTIONAL = (*PLAIN, "overrides", "backend")
PUBLISHED = "published"
"""In place of files of targets: those in the YAML of each workload."""


@dataclass(frozen=True)
class SuiteFile:
    """What a YAML file of a suite says.

    Arguments
    ---------
    suite : Suite
        What is benchmarked.
    rules_file : Path
        Where its rules were read.
    targets : Path | None
        The file of targets for its data; None: the workloads' published ones.
    backend : Backend
        Who runs the trials.
    """

    suite: Suite
    rules_file: Path
    targets: Path | None
    backend: Backend


def load_suite(
    path: str | Path,
    *,
    data_folder: str | None = None,
    optimizers: Sequence[str] | None = None,
    workloads: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> SuiteFile:
    """Reads a suite.

    Arguments
    ---------
    path : path
        The YAML file; paths in it are relative to its folder. Rules and
        optimizers may be names of LeanBrain's own.
    data_folder : str | None
        Folder of manifests; None: the embedded data.
    optimizers : Sequence[str] | None
        Names of optimizers, or YAML files, in place of the file's.
    workloads : Sequence[str] | None
        Some of the names of the file's workloads; None: all.
    overrides : Mapping | None
        Overrides of every workload, on top of the file's.

    Returns
    -------
    SuiteFile
        What it says.

    Raises
    ------
    UserError
        If the file, or one that it names, is missing or wrong.
    """
    path = Path(path).resolve()
    keys = _read(path)
    folder = path.parent
    more = {**(keys.get("overrides") or {}), **(overrides or {})}
    rules_file = folder / find_yaml("rules", keys["rules"])
    rules = load_rules(rules_file)
    wanted = [find_yaml("optimizers", x) for x in optimizers or ()] or [
        folder / find_yaml("optimizers", x) for x in keys["optimizers"]
    ]
    specs = find_optimizers([*wanted, *rules.target.optimizers])
    files = {Path(x).stem: folder / x for x in keys["workloads"]}
    chosen = [check_known("workloads", x, files) for x in workloads or files]
    suite = Suite(
        rules=rules,
        workloads=[read_workload(files[x], more) for x in chosen],
        optimizers=[x.stem for x in wanted],
        specs=specs,
        data_folder=data_folder,
        overrides=more,
        **{x: keys[x] for x in PLAIN if keys.get(x) is not None},
    )
    kind = "embedded" if data_folder is None else "real"
    targets = keys["targets"]
    return SuiteFile(
        suite=suite,
        rules_file=rules_file,
        targets=None if targets == PUBLISHED else folder / targets[kind],
        backend=_backend(keys, suite.threads),
    )


def _load(path: Path) -> dict[str, Any]:
    """Builds what the file names; what is wrong in it becomes a sentence."""
    read_text(path, "suite")  # says what hinders reading it
    try:
        with open(path, encoding="utf-8") as stream:
            return load_yaml(stream)
    except UserError:
        raise
    # Broken YAML, a class that does not exist or refuses its arguments, ...
    except Exception as error:
        raise UserError(
            f"The suite {path} cannot be built ({first_line(error)})."
        ) from error


def _backend(keys: Mapping[str, Any], threads: int) -> Backend:
    """Who runs the trials: processes of this machine if nobody is named."""
    backend = keys.get("backend")
    if backend is None:
        return LocalPool(threads=threads)
    if not (hasattr(backend, "workers") and hasattr(backend, "launch")):
        raise UserError(
            "`backend` must have `workers` and `launch`, such as `!new:"
            f"leanbrain.experiments.backends.LocalPool`, got {backend!r}."
        )
    return cast(Backend, backend)


def _read(path: Path) -> dict[str, Any]:
    """The keys of the file, checked."""
    if not path.is_file():
        raise UserError(f"The suite {path} does not exist.")
    keys = _load(path)
    known = [*REQUIRED, *OPTIONAL]
    for key in keys:
        check_known(f"key of {path.name}", key, known)
    for key in REQUIRED:
        if not keys.get(key):
            raise UserError(f"The suite {path} must have the key `{key}`.")
    targets = keys["targets"]
    kinds = set(targets) if isinstance(targets, dict) else None
    if targets != PUBLISHED and kinds != {"embedded", "real"}:
        raise UserError(
            f"`targets` must be {PUBLISHED!r}, or name one file for `embedded` "
            f"data and one for `real` data, got {targets!r}."
        )
    return keys
