"""From a suite to its trials; nothing here runs anything."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from leanbrain.checks import check_int
from leanbrain.dataio.digest import data_digest
from leanbrain.dataio.manifests import SPLITS
from leanbrain.digests.yaml_files import numbers_of, yaml_digest
from leanbrain.experiments.trials import Trial
from leanbrain.hyperyaml import as_override
from leanbrain.pruning.comparison.cells import ALL, MASKS, Cell, Run, Site
from leanbrain.pruning.comparison.method import (
    START,
    ZERO_SHOT,
    Method,
    Steps,
)
from leanbrain.pruning.comparison.rehearsal import check_plan
from leanbrain.pruning.comparison.suite import Choice, Suite
from leanbrain.shipped import find_yaml

__all__ = ["make_plan"]

RUN = "leanbrain.experiments.commands:run"

_DENSE = "hparams/dense.yaml"
_SAVE = "save"  # folder of a run's checkpoints

# With glibc's own settings, memory of the size of a batch goes back to the
# system after every step, and the page faults take as long as the arithmetic.
ENVIRONMENT = {
    # Rivals are compared at the sparsity that is asked for, broken ones too.
    "LEANBRAIN_GUARD": "off",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
}
# A run that takes this many times its estimate hangs.
PATIENCE, LEAST_TIMEOUT_S = 10.0, 1800.0


def make_plan(
    suite: Suite, site: Site, choice: Choice | None = None
) -> list[Cell]:
    """All rows of a suite, seed by seed; methods that name theirs come last.

    Arguments
    ---------
    suite : Suite
        What is compared.
    site : Site
        Where everything lies.
    choice : Choice | None
        A part of the suite.

    Returns
    -------
    list
        The cells; each dense start is one, before those that start from it,
        if there are any.

    Raises
    ------
    UserError
        If the choice names what is not there, if a file is missing, or if a
        run could not be as the suite says.
    """
    planner = _Planner(suite, site, check_plan(suite, site))
    seeds = choice.seeds if choice and choice.seeds else suite.seeds
    names = suite.cells(choice)
    cells, started = [], set()
    if suite.has_zero_shot(choice) and suite.seeds[0] in seeds:
        cells.append(planner.zero_shot_cell(suite.seeds[0]))
    for its_own, seed in itertools.product((False, True), seeds):
        mine = [
            planner.cell(name, sparsity, seed)
            for name, sparsity in names
            if _is_run_with(suite.method(name), seed, its_own)
        ]
        if seed not in started and any(x.start_steps for x in mine):
            cells.append(planner.start_cell(seed))
            started.add(seed)
        cells += mine
    return cells


def _is_run_with(method: Method, seed: int, its_own: bool) -> bool:
    """Whether a method has a seed: one that it names itself, or any."""
    if method.seeds is None:
        return not its_own
    return its_own and seed in method.seeds


class _Planner:
    """Makes each trial once, whoever needs it."""

    def __init__(self, suite: Suite, site: Site, spoken: list[str]) -> None:
        self._suite, self._site = suite, site
        self._spoken = spoken  # languages of the data
        self._data = data_digest(site.data, [f"{x}.csv" for x in SPLITS])
        self.start = functools.cache(self._start)
        self.cell = functools.cache(self._cell)
        self._sources = functools.cache(self._hash)

    def start_cell(self, seed: int) -> Cell:
        """The row of a dense start."""
        return Cell(START, 0.0, seed, {ALL: self.start(seed)})

    def zero_shot_cell(self, seed: int) -> Cell:
        """The row of the pre-trained model as it is."""
        options = {
            **self._dense_options(seed),
            **(self._suite.zero_shot or {}),
            "number_of_epochs": 0,
        }
        config = {"sources": self._sources(_DENSE)}
        run = self._run(_DENSE, options, 0, config, {})
        return Cell(ZERO_SHOT, 0.0, seed, {ALL: run})

    def _dense_options(self, seed: int) -> dict[str, Any]:
        """What every run of dense.yaml is told."""
        languages = list(self._suite.languages)
        return {
            "languages": languages,
            "seed": seed,
            # Only where it must be said: what a run is called hangs on it.
            **({"subset": True} if self._is_part(languages) else {}),
        }

    def _start(self, seed: int) -> Run:
        """The dense model that every run of a seed starts from."""
        options = {**self._dense_options(seed), **self._suite.start}
        default = numbers_of(self._site.recipe / _DENSE)
        keys = ("number_of_epochs", "batches_per_epoch")
        steps = Steps(
            *(
                check_int(f"start.{x}", options.get(x, default[x]), low=1)
                for x in keys
            )
        )
        config = {"sources": self._sources(_DENSE)}
        return self._run(
            _DENSE, options, steps.total, config, {}, is_start=True
        )

    def _cell(self, name: str, sparsity: float, seed: int) -> Cell:
        """A method at a sparsity with a seed, and where its masks come from."""
        method, source = self._suite.method(name), None
        if method.masks_from is not None:
            wanted = method.masks_from.sparsity
            source = self.cell(
                method.masks_from.method,
                sparsity if wanted is None else wanted,
                seed,
            )
        languages = self._suite.languages
        groups = {ALL: list(languages)}
        if method.per_language:
            groups = {x: [x] for x in languages}
        runs = {
            key: self._pruned(method, sparsity, seed, group, source)
            for key, group in groups.items()
        }
        return Cell(name, sparsity, seed, runs, source)

    def _pruned(
        self,
        method: Method,
        sparsity: float,
        seed: int,
        languages: list[str],
        source: Cell | None,
    ) -> Run:
        """One run of a method."""
        suite, entry = self._suite, "hparams/pruned.yaml"
        steps = suite.steps.scaled(method.budget)
        start = None if method.from_scratch else self.start(seed)
        masks = _first_masks(source, languages)
        pruning = {"sparsity": sparsity, **method.settings}
        if masks:
            places = {key: f"{{masks_{key}}}" for key in masks}
            pruning["initial_masks"] = places.get(ALL, places)
        own_file = method.file.endswith(".yaml")
        options = {
            "languages": languages,
            "subset": self._is_part(languages),
            "seed": seed,
            "dense_checkpoint": "{start}/save" if start else False,
            "method": "{method}" if own_file else method.file,
            "pruning": pruning,
            "number_of_epochs": steps.epochs,
            "batches_per_epoch": steps.batches_per_epoch,
            **suite.overrides,
            **method.overrides,
        }
        file = find_yaml("pruning", method.file, self._site.methods)
        config = {
            "sources": self._sources(entry, str(file)),
            **({"start": start.trial.digest} if start else {}),
            "masks": {key: run.trial.digest for key, run in masks.items()},
        }
        places = {"method": str(file)}
        if start:
            places["start"] = str(start.folder)
        for key, run in masks.items():
            places[f"masks_{key}"] = str(run.folder / MASKS)
        needs = [*([start] if start else []), *masks.values()]
        return self._run(entry, options, steps.total, config, places, needs)

    def _run(
        self,
        entry: str,
        options: Mapping[str, Any],
        steps: int,
        config: Mapping[str, Any],
        places: Mapping[str, str],
        needs: Iterable[Run] = (),
        is_start: bool = False,
    ) -> Run:
        """Puts a trial together."""
        site, suite = self._site, self._suite
        command = ["python", "{recipe}/train.py", f"{{recipe}}/{entry}"]
        places = {
            "recipe": str(site.recipe),
            "data": str(site.data),
            **{x.key: x.value for x in site.inputs},
            **places,
        }
        folders = {"data_folder": "{data}", "output_folder": "{folder}"}
        folders |= {x.key: f"{{{x.key}}}" for x in site.inputs}
        given = {**folders, **options}
        if site.inputs:
            inputs = {x.key: x.digest for x in site.inputs}
            config = {**config, "inputs": inputs}
        keeps = is_start or suite.keep_checkpoints
        command += [as_override(key, value) for key, value in given.items()]
        cost = steps * suite.step_s + suite.run_s
        trial = Trial(
            RUN,
            {"command": command, "data": self._data, **config},
            context={
                "places": places,
                "arguments": ["--noprogressbar"],
                "environment": ENVIRONMENT,
                "discard": [] if keeps else [_SAVE],
            },
            cost_s=cost,
            timeout_s=max(LEAST_TIMEOUT_S, PATIENCE * cost),
        )
        folder = trial.folder(site.root) / "work"
        return Run(trial, steps, folder, tuple(needs))

    def _is_part(self, languages: Sequence[str]) -> bool:
        """Whether the data have further languages."""
        return len(languages) < len(self._spoken)

    def _hash(self, *names: str) -> str:
        """What the YAML files of a run say, paths being the recipe's."""
        return yaml_digest(self._site.recipe / name for name in names)


def _first_masks(source: Cell | None, languages: list[str]) -> dict[str, Run]:
    """Whose masks a run takes: of its languages, or the one of all."""
    if source is None:
        return {}
    return {
        key: run
        for key, run in source.runs.items()
        if key == ALL or key in languages
    }
