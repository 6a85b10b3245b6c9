"""An optimizer as one YAML file: its class, its schedule, its search space."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pydoc import ErrorDuringImport
from typing import Any

import torch
import yaml

from leanbrain.checks import UserError, check_callable, check_known
from leanbrain.files import read_text
from leanbrain.hyperyaml import load_yaml
from leanbrain.optbench.optimizers.building import build_optimizer, first_line
from leanbrain.recipes.reasons import missing_package
from leanbrain.shipped import find_yaml

__all__ = ["OptimizerSpec", "load_optimizer"]

_KEYS = (
    "name",
    "source",
    "needs",
    "expected_class",
    "opt_class",
    "lr_schedule",
    "search_space",
)
_OPTIONAL = ("short_search_space",)


@dataclass(frozen=True)
class OptimizerSpec:
    """What an optimizer file says, checked; made by `load_optimizer`.

    Arguments
    ---------
    name : str
        Its short name.
    source : str
        Paper and package.
    needs : str | None
        The extra of LeanBrain that brings the package, if it takes one.
    hyperparameters : Mapping
        Name -> number: the top-level numbers of the file.
    opt_class : callable
        Parameters -> optimizer.
    lr_schedule : callable
        Progress in [0, 1] -> multiplier of each group's base rate.
    search_space : Mapping or list
        As it stands in the file.
    short_search_space : Mapping
        What replaces parts of a mapping for runs of hundreds of steps, for
        which rates of long runs are too low; empty if the file has none.
    expected_class : str
        Dotted name of the class that `opt_class` must build.
    text : str
        The file.
    """

    name: str
    source: str
    needs: str | None
    hyperparameters: Mapping[str, float]
    opt_class: Callable[..., torch.optim.Optimizer]
    lr_schedule: Callable[[float], float]
    search_space: Any
    expected_class: str
    text: str
    short_search_space: Mapping[str, Any] = field(default_factory=dict)

    def space(self, short_runs: bool) -> Any:
        """Returns the search space for short or for long runs."""
        if not short_runs or not self.short_search_space:
            return self.search_space
        return {**self.search_space, **self.short_search_space}

    def build(self, params: Iterable[Any]) -> torch.optim.Optimizer:
        """Builds the optimizer and checks it.

        Arguments
        ---------
        params : iterable
            Parameters or groups of them.

        Returns
        -------
        Optimizer
            Of exactly the expected class.

        Raises
        ------
        UserError
            If another class is built, the optimizer needs a closure, refuses
            its settings, or a trainable parameter is in no or in two groups.
        """
        return build_optimizer(self, params)


def load_optimizer(
    path: str | os.PathLike[str] | None = None,
    *,
    text: str | None = None,
    overrides: Mapping[str, float] | None = None,
) -> OptimizerSpec:
    """Reads an optimizer file.

    As every recipe's YAML, it names classes that are imported: a file from
    strangers deserves the caution that their Python deserves.

    Arguments
    ---------
    path : str | path | None
        The file, or the name of one of LeanBrain's, such as "lion".
    text : str | None
        Its content, in place of a path.
    overrides : Mapping | None
        Hyper-parameters in place of the file's own.

    Returns
    -------
    OptimizerSpec
        What it says.

    Raises
    ------
    UserError
        If the file or the name is missing, the file is wrong, its package is
        not installed, or an override is unknown or no finite number.

    Example
    -------
    >>> spec = load_optimizer(text='''
    ... name: sgd
    ... source: by definition
    ... needs: null
    ... expected_class: torch.optim.SGD
    ... lr: 0.1
    ... opt_class: !name:torch.optim.SGD
    ...     lr: !ref <lr>
    ... lr_schedule: !name:leanbrain.optbench.optimizers.schedules.constant
    ... search_space: {lr: {min: 0.01, max: 1.0, scaling: log}}
    ... ''', overrides={"lr": 0.5})
    >>> spec.build([torch.nn.Parameter(torch.ones(1))]).param_groups[0]["lr"]
    0.5
    """
    if (path is None) == (text is None):
        raise UserError("`path` or `text` must be given, and not both.")
    file = None if path is None else find_yaml("optimizers", path)
    where = "The optimizer file" if file is None else f"The file {file}"
    content = (
        str(text) if file is None else read_text(file).replace("\r\n", "\n")
    )
    known = _numbers(_plain(content, where), where)
    for key, value in (overrides or {}).items():
        check_known("overrides", key, known)
        _check_number(key, value)
    loaded = _load(content, where, dict(overrides or {}))
    missing = [key for key in _KEYS if key not in loaded]
    if missing:
        raise UserError(f"{where} must have the key `{missing[0]}`.")
    hyper = {key: loaded[key] for key in known}
    space = loaded["search_space"]
    points = space if isinstance(space, list) else [space]
    for key in {key for point in points for key in point}:
        check_known("search_space", key, hyper)
    short = loaded.get("short_search_space") or {}
    for key in short:
        check_known("short_search_space", key, space)
    return OptimizerSpec(
        name=str(loaded["name"]),
        source=str(loaded["source"]),
        needs=loaded["needs"],
        hyperparameters=hyper,
        opt_class=check_callable("opt_class", loaded["opt_class"]),
        lr_schedule=check_callable("lr_schedule", loaded["lr_schedule"]),
        search_space=space,
        expected_class=str(loaded["expected_class"]),
        text=content,
        short_search_space=short,
    )


def _plain(text: str, where: str) -> dict[str, yaml.Node]:
    """Reads the top level without importing anything."""
    try:
        node = yaml.compose(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"{where} is not YAML ({first_line(error)})."
        ) from error
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{where} must hold `key: value` lines.")
    return {key.value: value for key, value in node.value}


def _numbers(top: dict[str, yaml.Node], where: str) -> list[str]:
    """Names the hyper-parameters: all that is not a key of the format."""
    names = [key for key in top if key not in (*_KEYS, *_OPTIONAL)]
    for key in names:
        node = top[key]
        try:
            float(node.value)
        except (TypeError, ValueError):
            raise UserError(
                f"{where} must have numbers beside its own keys "
                f"({', '.join(_KEYS)}), got `{key}`."
            ) from None
    return names


def _load(text: str, where: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """Lets HyperPyYAML build the objects; says what is missing."""
    try:
        return load_yaml(text, overrides)
    except (ImportError, ErrorDuringImport) as error:
        needs = _plain(text, where).get("needs")
        extra = getattr(needs, "value", "null")
        if extra not in ("null", "~", "") and missing_package(error):
            raise UserError(
                f"{where} needs a package that is not installed "
                f'({first_line(error)}); mend it with: pip install "leanbrain'
                f'[{extra}]"'
            ) from error
        raise UserError(f"{where} names {first_line(error)}.") from error
    except UserError:
        raise
    except Exception as error:  # any callable of the file may raise anything
        raise UserError(f"{where} is not valid: {first_line(error)}") from error


def _check_number(key: str, value: Any) -> None:
    """Refuses overrides that are no finite numbers."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise UserError(f"`{key}` must be a finite number, got {value!r}.")
