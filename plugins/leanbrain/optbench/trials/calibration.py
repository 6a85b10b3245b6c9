"""What a training step costs with each optimizer, side by side.

Wall times of separate runs differ by more than optimizers do. Here all of them
train in one process, in turn on each batch, each a copy of the model of its
own; the median step is then free of whatever else the machine did.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from leanbrain._host import import_speechbrain
from leanbrain.checks import UserError, check_int
from leanbrain.optbench.optimizers.building import first_line
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.trials.lanes import BareLane, OptimizerLane
from leanbrain.optbench.trials.trial import open_workload, set_threads
from leanbrain.optbench.trials.workload import Workload, recipe_modules
from leanbrain.provenance import host_facts

__all__ = ["run"]

WARM_UP_STEPS = 3
"""Not measured: memory is allocated, state is built, kernels are chosen."""


def run(
    config: Mapping[str, Any],
    folder: str | os.PathLike[str],
    recipe_folder: str,
    data_folder: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Runs a calibration; it is a run function of `experiments`.

    Data loading is measured once per batch and is part of every step. Where
    processes read ahead it looks cheaper than in a trial, since several steps
    are made with each batch.

    Arguments
    ---------
    config : Mapping
        "workload", "data", "optimizers" (name -> text of the YAML file),
        "seed", "steps" (of each optimizer), "threads", "overrides".
    folder : path
        Not used.
    recipe_folder : str
        Where the workload's YAML and its modules are.
    data_folder : str | None
        Where the data are, if they are not embedded.
    device : str
        Where to train.

    Returns
    -------
    dict
        "errors": name -> why it cannot be measured; of all others,
        "optimizers": name -> "step_s" (median of means over ten steps; "low_s"
        and "high_s" are their quartiles; with the share of "prepare_s" that
        falls on a step), "prepare_s" (of what an optimizer does before and
        after an evaluation, which counts), "optimizer_s" (clipping and update),
        "state_bytes_per_parameter", "kernel"; "forward_backward_s", "data_s",
        "overhead_share" (of the harness, in a step), "evaluation_s", "steps".
    """
    import_speechbrain()
    threads = set_threads(config)
    steps = check_int("steps", config["steps"], low=2)
    load = host_facts()["load"]
    if not config["optimizers"]:
        raise UserError("`optimizers` must name at least one, got none.")

    def open_one() -> Workload:
        """Opens the workload anew."""
        return open_workload(config, recipe_folder, data_folder)

    with recipe_modules(recipe_folder):
        bare = BareLane(open_one(), device)
        lanes = Lanes()
        for name, text in config["optimizers"].items():
            with lanes.guard(name):
                spec = load_optimizer(text=text)
                lanes.sound[name] = OptimizerLane(
                    open_one(), spec, config["seed"], device
                )
        with _no_garbage():
            data_s = _take_turns(bare, lanes, steps)
            evaluation_s = bare.evaluation_s()
            sound = lanes.sound.values()
            shares = [lane.overhead_share() for lane in sound]
        optimizers = {k: x.report(data_s) for k, x in lanes.sound.items()}
    return {
        "optimizers": optimizers,
        "errors": lanes.errors,
        "forward_backward_s": statistics.median(bare.seconds),
        "data_s": statistics.median(data_s),
        "overhead_share": statistics.median(shares) if shares else 0.0,
        "evaluation_s": evaluation_s,
        "steps": steps,
        "threads": threads,
        "load": load,
    }


class Lanes:
    """The lanes of all optimizers; one that fails leaves the others alone."""

    def __init__(self) -> None:
        self.sound: dict[str, OptimizerLane] = {}
        self.errors: dict[str, str] = {}

    @contextmanager
    def guard(self, name: str) -> Iterator[None]:
        """Turns an error of an optimizer into its record."""
        try:
            yield
        # Whatever an optimizer of somebody's raises; its trials will too.
        except Exception as error:
            self.errors[name] = first_line(error)
            self.sound.pop(name, None)

    def each(self, first: int) -> Iterator[tuple[str, OptimizerLane]]:
        """The sound lanes, from another one on each time."""
        names = list(self.sound)
        for place in range(len(names)):
            name = names[(first + place) % len(names)]
            yield name, self.sound[name]


def _take_turns(bare: BareLane, lanes: Lanes, steps: int) -> list[float]:
    """Trains all lanes; returns the seconds that reading took."""
    bare.start()
    for name, lane in lanes.each(0):
        with lanes.guard(name):
            lane.start()
    batches = _endless(bare.workload.train_batches())
    data_s: list[float] = []
    for number in range(WARM_UP_STEPS + steps):
        if number == WARM_UP_STEPS:
            data_s.clear()
            bare.forget()
            for _, lane in lanes.each(0):
                lane.forget()
        begun = time.perf_counter()
        batch = next(batches)
        data_s.append(time.perf_counter() - begun)
        # The one that meets the batch outside of the cache is no rival.
        bare.step(batch)
        for name, lane in lanes.each(number):
            with lanes.guard(name):
                lane.step(batch)
    return data_s


def _endless(loader: Any) -> Iterator[Any]:
    """Batches of one epoch after the other."""
    while True:
        before = object()
        batch = before
        for batch in loader:
            yield batch
        if batch is before:
            raise UserError("The training data must hold a batch, got none.")


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Keeps the collector from running in the midst of somebody's step."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
