"""A suite: which workloads, optimizers, rules and data are benchmarked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_int, check_known
from leanbrain.dataio.digest import data_digest
from leanbrain.optbench.optimizers.specs import OptimizerSpec, load_optimizer
from leanbrain.optbench.protocol.rules import Rules
from leanbrain.optbench.suite.workload_file import WorkloadFile
from leanbrain.shipped import find_yaml

__all__ = [
    "Suite",
    "find_optimizers",
]

SYNTHETIC = "synthetic"
"""What `Suite.data` is for the embedded data."""


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


def find_optimizers(files: Sequence[str | Path]) -> dict[str, OptimizerSpec]:
    """Loads optimizers by name, or from files.

    Arguments
    ---------
    files : Sequence[str | Path]
        Names of LeanBrain's own, or YAML files.

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
    specs = {}
    for given in dict.fromkeys(files):
        path = find_yaml("optimizers", given)
        spec = load_optimizer(path)
        if spec.name != path.stem:
            raise UserError(
                f"`name` in {path} must be {path.stem}, as the file is "
                f"called, got {spec.name}."
            )
        specs[spec.name] = spec
    return specs
