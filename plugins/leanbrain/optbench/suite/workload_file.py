"""What planning must know of a workload, read without building its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import UserError, check_int, check_known, check_positive
from leanbrain.dataio.digest import MANIFESTS
from leanbrain.hyperyaml import resolved_text
from leanbrain.optbench.suite.digests import workload_digest

__all__ = ["WorkloadFile", "read_workload"]


@dataclass(frozen=True)
class WorkloadFile:
    """What planning must know of a workload, without building its model.

    Arguments
    ---------
    folder : Path
        The folder of the recipe.
    path : str
        The YAML file, relative to `folder`, with forward slashes.
    digest : str
        Hash of its YAML file and of the Python modules that this needs.
    total_steps : int
        The horizon of target setting, in optimizer steps.
    eval_every_steps : int
        Steps from evaluation to evaluation.
    metric : str
        What is evaluated; lower is better.
    variants : tuple[str, ...]
        Names of the held-out variants.
    budget_s : float | None
        Published budget, in seconds, where time itself is the budget.
    eval_period_s : float | None
        Seconds of training from evaluation to evaluation, likewise.
    targets : Mapping[str, float]
        Published validation targets, of "base" and of the variants.
    data_files : tuple[str, ...]
        Files of a data folder by whose content the data are told apart.
    has_embedded_data : bool
        Whether it can be trained without a data folder.
    """

    folder: Path
    path: str
    digest: str
    total_steps: int
    eval_every_steps: int
    metric: str
    variants: tuple[str, ...] = ()
    budget_s: float | None = None
    eval_period_s: float | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    data_files: tuple[str, ...] = MANIFESTS
    has_embedded_data: bool = True

    @property
    def name(self) -> str:
        """The file's name without folder and ending."""
        return Path(self.path).stem


def read_workload(
    path: str | Path, overrides: Mapping[str, Any] | None = None
) -> WorkloadFile:
    """Reads what planning needs from a workload's YAML.

    Arguments
    ---------
    path : path
        recipe folder/hparams/<name>.yaml
    overrides : Mapping | None
        Overrides of its keys.

    Returns
    -------
    WorkloadFile
        Its numbers.

    Raises
    ------
    UserError
        If there is no such file or a key is missing.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise UserError(f"The workload {path} does not exist.")
    known = _plain_keys(path, {})
    for key in overrides or {}:
        check_known(f"override of {path.stem}", key, known)
    keys = _plain_keys(path, dict(overrides or {}))
    for key in ("total_steps", "eval_every_steps", "metric"):
        if keys.get(key) is None:
            raise UserError(f"The workload {path} must have the key `{key}`.")
    folder = path.parent.parent
    return WorkloadFile(
        folder=folder,
        path=path.relative_to(folder).as_posix(),
        digest=workload_digest(folder, path),
        total_steps=check_int("total_steps", keys["total_steps"], low=1),
        eval_every_steps=check_int(
            "eval_every_steps", keys["eval_every_steps"], low=1
        ),
        metric=str(keys["metric"]),
        variants=tuple(keys.get("variants") or {}),
        budget_s=_seconds(keys, "budget_s"),
        eval_period_s=_seconds(keys, "eval_period_s"),
        targets=dict(keys.get("targets") or {}),
        data_files=tuple(keys.get("data_files") or MANIFESTS),
        has_embedded_data=bool(keys.get("has_embedded_data", True)),
    )


def _seconds(keys: Mapping[str, Any], name: str) -> float | None:
    """A time of a workload; None where it has none."""
    value = keys.get(name)
    return None if value is None else check_positive(name, value)


class _PlainLoader(yaml.SafeLoader):
    """Reads numbers and names of a HyperPyYAML file; builds no object."""


def _nothing(loader: Any, suffix: str, node: Any) -> None:
    """Stands for every object."""


_PlainLoader.add_multi_constructor("!", _nothing)


def _plain_keys(path: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """The top-level keys of a YAML file, objects being None."""
    with open(path, encoding="utf-8") as stream:
        text = resolved_text(stream, overrides)
    # A subclass of the safe loader: it constructs plain values only.
    keys = yaml.load(text, Loader=_PlainLoader)  # noqa: S506
    if not isinstance(keys, dict):
        raise UserError(f"The workload {path} must be a mapping of keys.")
    return keys
