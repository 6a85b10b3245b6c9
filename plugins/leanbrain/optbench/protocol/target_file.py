"""The file of targets: written, read, and checked before use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_json

__all__ = ["DEMANDED", "check_target_file", "read_targets", "write_targets"]

DEMANDED = (
    "data",
    "metric",
    "total_steps",
    "workload_digest",
    "overrides",
)
"""What a target was set for; with another one it means nothing."""

Targets = dict[str, dict[str, Any]]


def read_targets(path: str | os.PathLike[str]) -> Targets:
    """Reads a file of targets.

    Arguments
    ---------
    path : path
        What `write_targets` wrote.

    Returns
    -------
    dict
        Name of a target -> its entry.

    Raises
    ------
    UserError
        If the file is missing or damaged or an entry has no finite target.
    """
    targets = read_json(path)
    if not isinstance(targets, dict):
        raise UserError(f"The targets {path} must be a mapping of workloads.")
    for name, entry in targets.items():
        value = entry.get("target") if isinstance(entry, dict) else None
        if not _is_number(value):
            raise UserError(
                f"The targets {path} must give {name} a finite `target`, got "
                f"{value!r}."
            )
    return targets


def write_targets(
    path: str | os.PathLike[str], targets: Mapping[str, Mapping[str, Any]]
) -> None:
    """Writes a file of targets, atomically.

    Arguments
    ---------
    path : path
        The file.
    targets : Mapping
        Name of a target -> what `make_target` returned.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    write_json(path, dict(sorted(targets.items())))


def check_target_file(
    targets: Mapping[str, Mapping[str, Any]],
    demands: Mapping[str, Mapping[str, Any]],
) -> None:
    """Checks that targets are there and were set for what is run now.

    Arguments
    ---------
    targets : Mapping
        Name of a target -> its entry.
    demands : Mapping
        Name of a target -> what of `DEMANDED` it must have.

    Raises
    ------
    UserError
        If a target is missing or was set for something else.
    """
    for name, demand in demands.items():
        if name not in targets:
            raise UserError(
                f"The targets must hold {name}, got {_listed(targets)}; set "
                "targets again."
            )
        for key, wanted in demand.items():
            got = targets[name].get(key)
            if got != wanted:
                raise UserError(
                    f"The target of {name} must have been set for {key} "
                    f"{wanted!r}, got {got!r}; set targets again."
                )


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
