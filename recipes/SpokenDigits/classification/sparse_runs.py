"""From a suite to its trials, each as long as its FLOPs allow, and to rows."""

import functools
from dataclasses import dataclass
from pathlib import Path

from sparse_batches import batches_of
from sparse_cost import flops_per_step
from sparsity import batch_macs

from leanbrain.dataio.digest import data_digest
from leanbrain.dataio.manifests import SPLITS
from leanbrain.digests.yaml_files import yaml_digest
from leanbrain.experiments.trials import Trial
from leanbrain.hyperyaml import as_override, load_yaml
from leanbrain.pruning.comparison.cells import ALL, Cell, Run
from leanbrain.pruning.flops.meter import CostMeter
from leanbrain.shipped import find_yaml

FOLDER = Path(__file__).resolve().parent
FLOPS = "flops"
# What a step costs depends on the length of a run, and this on what a step
# costs: so many rehearsals, at most, until both agree.
TRIES = 6
TOLERANCE = 0.01


@dataclass(frozen=True)
class Length:
    """How long a pruned training is, and what that costs.

    Arguments
    ---------
    steps : int
        Of the last training.
    step_flops : float
        Of a step with a full batch, the mean of a run of that length.
    gap : float
        By which share of the budget all training is above it, full batches.
    """

    steps: int
    step_flops: float
    gap: float


@dataclass(frozen=True)
class Row:
    """A row of the result: a cell, and what it was planned to cost.

    Arguments
    ---------
    method : str
        Name of the method.
    cell : Cell
        The run and what it starts from.
    equal : str
        What it has in common with the yardstick: "flops" or "steps".
    planned_flops : float
        Of all training, that of the dense start included, in the batches
        that there will be.
    """

    method: str
    cell: Cell
    equal: str
    planned_flops: float

    @property
    def run(self):
        """The last training."""
        return self.cell.runs[ALL]


class Planner:
    """Makes the rows of a suite; equal trainings are one trial.

    Arguments
    ---------
    suite : Suite
        What is compared.
    data, root : path
        Folder of the manifests, and of the results.
    """

    def __init__(self, suite, data, root):
        self.suite = suite
        self.data, self.root = Path(data).resolve(), Path(root).resolve()
        self.digest = data_digest(self.data, [f"{x}.csv" for x in SPLITS])
        with (FOLDER / "hparams/pruned.yaml").open(encoding="utf-8") as file:
            self.hparams = load_yaml(
                file, {"method": "none", **suite.overrides}
            )
        self.dense_step = CostMeter().training_flops(
            batch_macs(self.hparams), 1
        )
        # Methods as such cannot be keys: their settings are a dict.
        self._costs, self._lengths = {}, {}
        self.start = functools.cache(self._start)
        self.batches = functools.cache(self._batches)

    def step_flops(self, method, sparsity, steps):
        """FLOPs of a step with a full batch, the mean of a pruned run."""
        key = method.name, sparsity, steps
        if key not in self._costs:
            self._costs[key] = flops_per_step(
                self.hparams, method, sparsity, steps
            )
        return self._costs[key]

    @property
    def dense_steps(self):
        """Length of the dense start."""
        return self.suite.whole(self.suite.dense_steps)

    def budget(self):
        """FLOPs of the dense training and of the yardstick's pruning."""
        suite = self.suite
        steps = suite.whole(suite.pruning_steps)
        step = self.step_flops(suite.yardstick, suite.sparsities[0], steps)
        return self.dense_steps * self.dense_step + steps * step

    def length(self, method, sparsity, equal):
        """How many steps a method may take, whatever the seed."""
        key = method.name, sparsity, equal
        if key not in self._lengths:
            self._lengths[key] = self._length(method, sparsity, equal)
        return self._lengths[key]

    def _length(self, method, sparsity, equal):
        suite = self.suite
        before = self.dense_steps if method.from_dense else 0
        # For a start, the steps that there are without counting FLOPs.
        steps = suite.whole(self.dense_steps + suite.pruning_steps - before)
        budget, spent = self.budget(), before * self.dense_step
        tried = []
        for _ in range(TRIES if equal == FLOPS else 1):
            step = self.step_flops(method, sparsity, steps)
            gap = (spent + steps * step) / budget - 1.0
            tried.append(Length(steps, step, gap))
            if abs(gap) <= TOLERANCE:
                break
            steps = suite.whole((budget - spent) / step)
        return min(tried, key=lambda x: abs(x.gap))

    def rows(self):
        """All rows, those that answer the first question first."""
        return [
            self.row(method, sparsity, seed, equal)
            for equal in self.suite.equal
            for position in range(self._most_sparsities())
            for seed in self.suite.seeds
            for method in self.suite.methods
            for sparsity in method.sparsities[position : position + 1]
        ]

    def _most_sparsities(self):
        return max(len(method.sparsities) for method in self.suite.methods)

    def row(self, method, sparsity, seed, equal):
        """A method at a sparsity with a seed."""
        length = self.length(method, sparsity, equal)
        run = self._pruned(method, sparsity, seed, length.steps)
        label = f"{method.name}, equal {equal}"
        cell = Cell(label, sparsity, seed, {ALL: run})
        flops = length.step_flops * self.batches(seed, length.steps)
        if method.from_dense:
            flops += self.dense_step * self.batches(seed, self.dense_steps)
        return Row(method.name, cell, equal, flops)

    def _batches(self, seed, steps):
        """How many full batches those of a run amount to."""
        hparams = {**self.hparams, "seed": seed}
        return batches_of(hparams, self.data, steps, self.suite.epochs)

    def _start(self, seed):
        """The dense training of a seed."""
        return self._run("hparams/fbank.yaml", self.dense_steps, seed, {})

    def _pruned(self, method, sparsity, seed, steps):
        """A training with a method of hparams/pruning."""
        settings = {**method.settings, "sparsity": sparsity}
        options = {"method": method.method, "pruning": settings}
        needs = ()
        if method.from_dense:
            needs = (self.start(seed),)
            options["dense_checkpoint"] = "{start}/save"
        file = find_yaml("pruning", method.method)
        return self._run(
            "hparams/pruned.yaml", steps, seed, options, [file], needs
        )

    def _run(self, entry, steps, seed, options, files=(), needs=()):
        """Puts a trial together."""
        suite = self.suite
        options = {
            "data_folder": "{data}",
            "output_folder": "{folder}",
            "seed": seed,
            "number_of_epochs": suite.epochs,
            "batches_per_epoch": steps // suite.epochs,
            **suite.overrides,
            **options,
        }
        words = [as_override(k, v) for k, v in options.items()]
        config = {
            "arguments": [f"{{recipe}}/{entry}", *words],
            "data": self.digest,
            "sources": yaml_digest([FOLDER / entry, *files]),
            "start": [run.trial.digest for run in needs],
        }
        places = {"recipe": str(FOLDER), "data": str(self.data)}
        if needs:
            places["start"] = str(needs[0].folder)
        trial = Trial(
            "sparse_train:run",
            config,
            context={"places": places},
            cost_s=steps * suite.step_s + suite.run_s,
        )
        return Run(trial, steps, trial.folder(self.root) / "work", needs)
