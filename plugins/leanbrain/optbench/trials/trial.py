"""One trial: a workload trained by one optimizer, timed and audited."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from leanbrain._host import import_speechbrain, user_errors
from leanbrain.checks import UserError, check_int
from leanbrain.files import read_json, write_json
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.trials.clock import PausedClock
from leanbrain.optbench.trials.kernels import weights_hash
from leanbrain.optbench.trials.plan import make_plan
from leanbrain.optbench.trials.ranks import join_ranks, leave_ranks
from leanbrain.optbench.trials.result import final_checks, make_result
from leanbrain.optbench.trials.session import Session
from leanbrain.optbench.trials.workload import (
    Workload,
    load_workload,
    recipe_modules,
)
from leanbrain.provenance import host_facts

__all__ = ["main", "open_workload", "run", "set_threads"]

SYNTHETIC = "synthetic"
"""What "data" of a configuration is where data are embedded."""


def run(
    config: Mapping[str, Any],
    folder: str | os.PathLike[str],
    recipe_folder: str,
    data_folder: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Runs a trial; `Trial.run` is "leanbrain.optbench.trials.trial:run".

    Arguments
    ---------
    config : Mapping
        What the trial is; the README of the benchmark lists the keys. Either
        "budget_steps" and "eval_every_steps", or "budget_s" and
        "eval_period_s".
    folder : path
        Of the trial; nothing is written there but by the engine.
    recipe_folder : str
        Where the workload's YAML and its modules are.
    data_folder : str | None
        Where the data are, if they are not embedded.
    device : str
        Where to train.

    Returns
    -------
    dict
        The result, with "status" and "reason" for the engine.

    Raises
    ------
    UserError
        If a setting is wrong or the Brain cannot be measured fairly.
    OptimizerError
        If the optimizer raised an error.
    """
    import_speechbrain()
    threads = set_threads(config)
    host = host_facts()
    spec = load_optimizer(
        text=config["optimizer_yaml"], overrides=config["hyperparameters"]
    )
    # One step on weights of its own: what cannot be measured is refused
    # before the data are read. The Brain's own optimizer is left to the audit.
    spec.build([torch.nn.Parameter(torch.ones(2, 2))])
    with recipe_modules(recipe_folder):
        workload = open_workload(config, recipe_folder, data_folder)
        brain = workload.build_brain(spec.opt_class, device)
        session = Session(
            make_plan(config, spec),
            workload.data.valid_loader(),
            PausedClock(brain.device),
        )
        session.attach(brain)
        start = weights_hash(brain.modules)
        session.run(workload.train_batches())
        checks = session.checks + final_checks(session, workload, threads)
    return make_result(session, checks) | {
        "threads": threads,
        "load": host["load"],
        "init_hash": start,
        "device": host["gpu"] if device != "cpu" else "cpu",
        "data_digest": getattr(workload.data, "digest", None),
    }


def set_threads(config: Mapping[str, Any]) -> int:
    """Makes torch compute with the threads of a configuration.

    Arguments
    ---------
    config : Mapping
        Holds "threads".

    Returns
    -------
    int
        Their number.
    """
    threads = check_int("threads", config["threads"], low=1)
    torch.set_num_threads(threads)
    return threads


def open_workload(
    config: Mapping[str, Any], recipe_folder: str, data_folder: str | None
) -> Workload:
    """Loads the workload that a configuration names.

    Arguments
    ---------
    config : Mapping
        Of a trial or of a calibration.
    recipe_folder : str
        Where its YAML is.
    data_folder : str | None
        Where the data are.

    Returns
    -------
    Workload
        Built.
    """
    wanted = config.get("data", SYNTHETIC)
    if (wanted == SYNTHETIC) != (data_folder is None):
        raise UserError(
            f"`data_folder` must be given if and only if `data` is not "
            f"{SYNTHETIC!r}, got {data_folder!r} for data {wanted!r}."
        )
    return load_workload(
        recipe_folder,
        config["workload"],
        seed=check_int("seed", config["seed"], low=0),
        data_folder=data_folder,
        variant=config.get("variant"),
        overrides=config.get("overrides"),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a trial as a process of torchrun.

    Arguments
    ---------
    argv : Sequence[str] | None
        A JSON file with "config" and "context", and the JSON file that the
        main process writes the result to.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("result", type=Path)
    arguments = parser.parse_args(argv)
    import_speechbrain()
    from speechbrain.utils.distributed import if_main_process

    content = read_json(arguments.config)
    context = dict(content["context"])
    context["device"] = join_ranks(context.get("device", "cpu"))
    result = run(content["config"], arguments.result.parent, **context)
    if if_main_process():
        write_json(arguments.result, result)
    leave_ranks()


if __name__ == "__main__":
    with user_errors():
        main()
