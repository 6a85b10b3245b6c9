"""A suite: which workloads, optimizers, rules and data are benchmarked."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from hyperpyyaml import resolve_references

from leanbrain.checks import UserError, check_int, check_known, check_positive
from leanbrain.optbench.optimizers.specs import OptimizerSpec, load_optimizer
from leanbrain.optbench.protocol.rules import Rules

__all__ = [
    "Suite",
    "WorkloadFile",
    "code_digest",
    "data_digest",
    "find_optimizers",
    "read_workload",
]

SYNTHETIC = "synthetic"
"""What `Suite.data` is for the embedded data."""

PACKAGES = (
    "torch",
    "speechbrain",
    "numpy",
    "schedulefree",
    "pytorch-optimizer",
)
"""Whose code trains: other versions, other trials."""

MANIFESTS = ("train.csv", "valid.csv")


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
        Hash of the YAML and Python files of the recipe.
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


@dataclass(frozen=True)
class Suite:
    """What is benchmarked.

    Arguments
    ---------
    rules : Rules
        The protocol.
    workloads : Sequence[WorkloadFile]
        What is trained.
    optimizers : Sequence[str]
        Names of the optimizers that are compared.
    specs : Mapping[str, OptimizerSpec]
        Name of an optimizer -> what its YAML file says; holds those of
        target setting as well.
    data_folder : str | None
        Folder of manifests; None: the embedded data.
    threads : int
        Threads of a trial, or of each of its processes.
    processes : int
        Processes of a trial; above 1 it runs under torchrun.
    device : str
        Where trials train: "cpu" or "cuda".
    calibration_steps : int
        Steps of each optimizer by which its cost is measured.
    overrides : Mapping[str, Any]
        Overrides of every workload's YAML.
    """

    rules: Rules
    workloads: Sequence[WorkloadFile]
    optimizers: Sequence[str]
    specs: Mapping[str, OptimizerSpec]
    data_folder: str | None = None
    threads: int = 1
    processes: int = 1
    device: str = "cpu"
    calibration_steps: int = 60
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_int("threads", self.threads, low=1)
        check_int("processes", self.processes, low=1)
        check_known("device", self.device, ("cpu", "cuda"))
        check_int("calibration_steps", self.calibration_steps, low=2)
        if len(set(self.optimizers)) < len(self.optimizers):
            raise UserError(
                "`optimizers` must name each optimizer once, got "
                f"{list(self.optimizers)}."
            )
        for name in [*self.optimizers, *self.rules.target.optimizers]:
            check_known("optimizers", name, self.specs)

    def data_of(self, workload: WorkloadFile) -> str:
        """Hash of the data of a workload, or "synthetic"."""
        if self.data_folder:
            return data_digest(self.data_folder, workload.data_files)
        if not workload.has_embedded_data:
            raise UserError(
                f"`data_folder` must be given, as the workload "
                f"{workload.name} has no embedded data, got None."
            )
        return SYNTHETIC

    def context(self, workload: WorkloadFile) -> dict[str, Any]:
        """Where a trial of a workload finds its files on this machine."""
        folder = self.data_folder
        return {
            "recipe_folder": str(workload.folder.resolve()),
            "data_folder": str(Path(folder).resolve()) if folder else None,
            "device": self.device,
        }


def data_digest(folder: str | Path, names: Sequence[str] = MANIFESTS) -> str:
    """Hashes the files of a folder by which its data are told apart.

    Arguments
    ---------
    folder : path
        The folder.
    names : Sequence[str]
        The files, relative to it.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    UserError
        If one of them is missing.
    """
    digest = hashlib.sha256()
    for name in names:
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(
                f"`data_folder` must hold {' and '.join(names)}, got "
                f"{folder}, which has no {name}."
            )
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def find_optimizers(
    folder: str | Path, names: Sequence[str]
) -> dict[str, OptimizerSpec]:
    """Loads optimizers by name, or from files.

    Arguments
    ---------
    folder : path
        Holds a file <name>.yaml for each optimizer.
    names : Sequence[str]
        Which ones; one that ends in .yaml is the path of a file elsewhere.

    Returns
    -------
    dict
        Name -> what its file says.

    Raises
    ------
    UserError
        If there is no such file, with the nearest names, or if a file's
        `name` is not what the file is called.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    if not files:
        raise UserError(
            f"`optimizers_folder` must hold YAML files, got {folder}."
        )
    specs = {}
    for name in dict.fromkeys(names):
        is_path = name.endswith(".yaml")
        path = (
            Path(name)
            if is_path
            else files[check_known("optimizers", name, files)]
        )
        spec = load_optimizer(path)
        if spec.name != path.stem:
            raise UserError(
                f"`name` in {path} must be {path.stem}, as the file is "
                f"called, got {spec.name}."
            )
        specs[spec.name] = spec
    return specs


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
        digest=_sources_digest(folder),
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


@functools.lru_cache
def code_digest() -> str:
    """Hashes the code that trials run: other code, other trials.

    Returns
    -------
    str
        16 hexadecimal digits of the sources of LeanBrain's trials and
        optimizers and of the versions of what they stand on.
    """
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for folder in ("optimizers", "trials"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "none"
        digest.update(f"{name} {version}".encode())
    return digest.hexdigest()[:16]


class _PlainLoader(yaml.SafeLoader):
    """Reads numbers and names of a HyperPyYAML file; builds no object."""


def _nothing(loader: Any, suffix: str, node: Any) -> None:
    """Stands for every object."""


_PlainLoader.add_multi_constructor("!", _nothing)


def _plain_keys(path: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """The top-level keys of a YAML file, objects being None."""
    with open(path, encoding="utf-8") as stream:
        text = resolve_references(stream, overrides).getvalue()
    # A subclass of the safe loader: it constructs plain values only.
    keys = yaml.load(text, Loader=_PlainLoader)  # noqa: S506
    if not isinstance(keys, dict):
        raise UserError(f"The workload {path} must be a mapping of keys.")
    return keys


def _sources_digest(folder: Path) -> str:
    """Hash of what a workload is made of: other sources, other trials."""
    digest = hashlib.sha256()
    files = [*folder.glob("*.py"), *folder.glob("hparams/**/*.yaml")]
    # Trials do not run the script by which a user trains one workload.
    files = [x for x in files if x.name != "train.py"]
    for file in sorted(files):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
