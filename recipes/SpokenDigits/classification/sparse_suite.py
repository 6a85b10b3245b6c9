"""What sparse.py compares, read from YAML and checked."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from leanbrain.checks import UserError, check_fraction, check_int, check_known

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
METHOD = ("name", "method", "sparsities", "settings", "from_dense")


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
    try:
        keys = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"The suite {path} must be YAML: {reason}") from error
    if not isinstance(keys, dict):
        raise UserError(f"The suite {path} must hold keys, got {keys!r}.")
    for key in keys:
        check_known("key of the suite", key, SUITE)
    for key, kind in SUITE.items():
        if not isinstance(keys.get(key), kind):
            raise UserError(
                f"`{key}` of the suite must be there and of its kind, got "
                f"{keys.get(key)!r}."
            )
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
    for key in ("dense_steps", "pruning_steps", "epochs"):
        check_int(key, keys[key], low=1)
    for kind in keys["equal"]:
        check_known("equal", kind, EQUAL)
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
    for sparsity in method.sparsities:
        check_fraction("sparsities", sparsity, high_open=True)
    return method
