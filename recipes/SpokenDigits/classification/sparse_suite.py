"""What sparse.py compares, read from YAML and checked."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_known,
    check_positive,
)
from leanbrain.files import read_text

ENTRIES = Path(__file__).resolve().parent / "hparams"
EQUAL = ("flops", "steps")
SUITE = {
    "name": str,
    "seeds": list,
    "sparsities": list,
    "dense_steps": int,
    "pruning_steps": int,
    "yardstick": str,
    "equal": list,
    "epochs": int,
    "overrides": dict,
    "step_s": (int, float),
    "run_s": (int, float),
    "methods": list,
}
KINDS = {str: "text", list: "a list", dict: "keys", int: "a whole number"}
METHOD = ("name", "method", "sparsities", "settings", "from_dense")
# What the planner gives to every run: nobody else may.
PLANNED = ("seed", "data_folder", "output_folder", "number_of_epochs")
PLANNED += ("batches_per_epoch", "method", "pruning", "dense_checkpoint")
PLANNED_SETTINGS = ("sparsity", "total_steps", "pathways")


@dataclass(frozen=True)
class Method:
    """A method of the suite.

    Arguments
    ---------
    name : str
        As the table calls it.
    method : str
        Name of a file in hparams/pruning.
    sparsities : list of float
        At which it is compared.
    settings : dict
        Keys of its file.
    from_dense : bool
        Whether it starts from the dense model, whose training counts.
    """

    name: str
    method: str
    sparsities: list
    settings: dict = field(default_factory=dict)
    from_dense: bool = False


@dataclass(frozen=True)
class Suite:
    """All that is compared; the fields are the keys of the YAML file."""

    name: str
    seeds: list
    sparsities: list
    dense_steps: int
    pruning_steps: int
    yardstick: Method
    equal: list
    epochs: int
    overrides: dict
    step_s: float
    run_s: float
    methods: list

    def whole(self, steps):
        """The nearest number of steps that divides into the epochs."""
        return max(1, round(steps / self.epochs)) * self.epochs


def load_suite(path):
    """Reads a suite.

    Arguments
    ---------
    path : path
        The YAML file.

    Returns
    -------
    Suite
    """
    keys = _read(path)
    for key in keys:
        check_known("key of the suite", key, SUITE)
    for key, kind in SUITE.items():
        if not isinstance(keys.get(key), kind):
            raise UserError(
                f"`{key}` of the suite must be {KINDS.get(kind, 'a number')}, "
                f"got {keys.get(key)!r}."
            )
    _check_numbers(keys)
    _check_overrides(keys["overrides"])
    methods = [read_method(x, keys["sparsities"]) for x in keys["methods"]]
    by_name = {method.name: method for method in methods}
    if len(by_name) < len(methods):
        raise UserError(
            "`methods` must have different names, got "
            f"{', '.join(method.name for method in methods)}."
        )
    yardstick = by_name[check_known("yardstick", keys["yardstick"], by_name)]
    if not yardstick.from_dense:
        raise UserError(
            "`yardstick` must be a method with `from_dense`, got "
            f"{yardstick.name!r}."
        )
    return Suite(**{**keys, "methods": methods, "yardstick": yardstick})


def read_method(keys, sparsities):
    """One entry of `methods`."""
    if not isinstance(keys, dict) or not {"name", "method"} <= keys.keys():
        raise UserError(
            "An entry of `methods` must have the keys `name` and `method`, "
            f"got {keys!r}."
        )
    for key in keys:
        check_known("key of a method", key, METHOD)
    method = Method(**{"sparsities": sparsities, **keys})
    for key in ("name", "method"):
        if not isinstance(keys[key], str):
            raise UserError(f"`{key}` must be text, got {keys[key]!r}.")
    if not isinstance(method.from_dense, bool):
        raise UserError(
            f"`from_dense` of {method.name} must be True or False, got "
            f"{method.from_dense!r}."
        )
    if not isinstance(method.settings, dict):
        raise UserError(
            f"`settings` of {method.name} must be keys of its file, got "
            f"{method.settings!r}."
        )
    _refuse_planned(f"`settings` of {method.name}", method.settings)
    check_sparsities(method.sparsities)
    return method


def check_sparsities(values):
    """Some different shares below 1."""
    _check_several("sparsities", values)
    for value in values:
        check_fraction("sparsities", value, high_open=True)


def check_seeds(values):
    """Some different whole numbers."""
    _check_several("seeds", values)
    for value in values:
        check_int("seeds", value, low=0)


def _read(path):
    """The keys of the file: plain values alone, which JSON can hold too."""
    text = read_text(path, "suite")
    try:
        keys = yaml.safe_load(text)
        json.dumps(keys)
    except (ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"The suite {path} must be YAML of plain values: {reason}"
        ) from error
    if not isinstance(keys, dict):
        raise UserError(f"The suite {path} must hold keys, got {keys!r}.")
    return keys


def _check_numbers(keys):
    """Numbers of the suite itself, and lists that must not be empty."""
    check_seeds(keys["seeds"])
    check_sparsities(keys["sparsities"])
    for key in ("dense_steps", "pruning_steps", "epochs"):
        check_int(key, keys[key], low=1)
    for key in ("step_s", "run_s"):
        check_positive(key, keys[key])
    _check_several("equal", keys["equal"])
    for kind in keys["equal"]:
        check_known("equal", str(kind), EQUAL)


def _check_several(name, values):
    """A list of something, nothing twice."""
    if not isinstance(values, list) or not values:
        raise UserError(
            f"`{name}` must be a list of at least one entry, got {values!r}."
        )
    if any(values.count(value) > 1 for value in values):
        raise UserError(f"`{name}` must hold nothing twice, got {values!r}.")


def _check_overrides(overrides):
    """Keys that both kinds of training have, and that nobody else decides."""
    for name in ("fbank.yaml", "pruned.yaml"):
        text = (ENTRIES / name).read_text(encoding="utf-8")
        known = re.findall(r"^(\w+):", text, re.M)
        for key in overrides:
            check_known(f"key of hparams/{name}", str(key), known)
    for key in overrides:
        if key in PLANNED:
            raise UserError(
                f"`overrides` must leave {', '.join(PLANNED)} to the suite's "
                f"own keys, got {key!r}."
            )


def _refuse_planned(name, settings):
    """Settings that follow from the suite's other keys."""
    for key in settings:
        if key in PLANNED_SETTINGS:
            raise UserError(
                f"{name} must leave {', '.join(PLANNED_SETTINGS)} to the "
                f"suite's own keys, got {key!r}."
            )
