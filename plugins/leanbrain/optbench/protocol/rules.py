"""The protocol of a benchmark: how much tuning, which budget, which score."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_known,
    check_positive,
)
from leanbrain.optbench.statistics.score import MODES
from leanbrain.shipped import find_yaml

__all__ = ["BootstrapRules", "Rules", "TargetRules", "load_rules"]

TUNING = ("external", "self")
TIME_UNITS = ("calibrated", "wall")


@dataclass(frozen=True)
class TargetRules:
    """How targets are set.

    Arguments
    ---------
    optimizers : tuple[str, ...]
        Who competes for the best point.
    points : int
        Quasi-random points of each of them.
    seeds : int
        How often the best point is repeated; the target is the median of the
        best validation values.
    relaxation_percent : float
        By how much the target that is scored is relaxed, in percent of the
        error.
    relaxations_percent : tuple[float, ...]
        The relaxations of the sensitivity curve.
    """

    optimizers: tuple[str, ...]
    points: int
    seeds: int
    relaxation_percent: float
    relaxations_percent: tuple[float, ...]


@dataclass(frozen=True)
class BootstrapRules:
    """How uncertain scores and ranks are.

    Arguments
    ---------
    draws : int
        Resamples of studies and trials.
    confidence : float
        Of the intervals, in (0, 1).
    """

    draws: int
    confidence: float


@dataclass(frozen=True)
class Rules:
    """A versioned set of rules; read one with `load_rules`.

    Arguments
    ---------
    name : str
        What the rules are called.
    version : int
        Counts up with every change of a number below.
    source : str
        Where the numbers come from.
    tuning : str
        "external": the time of a study is that of its fastest trial;
        "self": a study is a single trial.
    studies : int
        Independent repeats; the time on a workload is their median.
    trials_per_study : int
        Points of the search space that a study may try.
    budget_factor : float
        Multiplies the budget of a workload.
    max_ratio : float
        Beyond this multiple of the fastest time a workload counts as missed.
    score_mode : str
        "exact" integral of the performance profile, or AlgoPerf's "grid" of
        100 points.
    short_runs : bool
        Whether the search spaces of optimizers for runs of hundreds of steps
        are taken.
    variants : bool
        Whether held-out variants of workloads are run.
    eval_share : float
        The share of the time that evaluations should not exceed.
    target : TargetRules
        How targets are set.
    time_unit : str
        "calibrated": steps times the calibrated cost of a step; "wall":
        seconds of the trial itself.
    bootstrap : BootstrapRules
        How uncertain scores and ranks are.
    """

    name: str
    version: int
    source: str
    tuning: str
    studies: int
    trials_per_study: int
    budget_factor: float
    max_ratio: float
    score_mode: str
    short_runs: bool
    variants: bool
    eval_share: float
    target: TargetRules
    time_unit: str
    bootstrap: BootstrapRules

    @property
    def label(self) -> str:
        """Name and version, by which trials say under which rules they ran."""
        return f"{self.name}-{self.version}"

    @classmethod
    def from_mapping(cls, values: Any) -> Rules:
        """Checks rules that were read from YAML.

        Arguments
        ---------
        values : Mapping
            Every field of this class.

        Returns
        -------
        Rules

        Raises
        ------
        UserError
            If a key is missing, unknown or of the wrong type or size.
        """
        rules: Rules = _build(cls, values, CHECKS, "")
        if rules.tuning == "self" and rules.trials_per_study != 1:
            raise UserError(
                '`trials_per_study` must be 1 where `tuning` is "self", got '
                f"{rules.trials_per_study}."
            )
        return rules


def load_rules(path: str | os.PathLike[str]) -> Rules:
    """Reads rules from a YAML file.

    Arguments
    ---------
    path : str or path
        The file, or the name of one of LeanBrain's, such as "cpu".

    Returns
    -------
    Rules

    Raises
    ------
    UserError
        If the file or the name does not exist, or if the file is no YAML or
        breaks a rule of `Rules`.

    Example
    -------
    >>> load_rules("missing.yaml")
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: The rules missing.yaml do not exist.
    """
    path = find_yaml("rules", path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"The rules {path} do not exist.") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The rules {path} are not YAML ({reason}).") from error
    try:
        return Rules.from_mapping(values)
    except UserError as error:
        raise UserError(f"The rules {path} are wrong: {error}") from error


Check = Callable[[str, Any], Any]


def _build(
    kind: type[Any], values: Any, checks: Mapping[str, Check], prefix: str
) -> Any:
    """Builds a dataclass from a mapping with exactly its fields."""
    if not isinstance(values, Mapping):
        where = f"`{prefix.rstrip('.')}`" if prefix else "Rules"
        raise UserError(f"{where} must be a mapping of keys, got {values!r}.")
    names = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        check_known("key of " + (prefix.rstrip(".") or "rules"), key, names)
    for name in names:
        if name not in values:
            raise UserError(f"Rules must have the key `{prefix}{name}`.")
    return kind(**{x: checks[x](prefix + x, values[x]) for x in names})


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"`{name}` must be a text, got {value!r}.")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"`{name}` must be true or false, got {value!r}.")
    return value


def _count(name: str, value: Any) -> int:
    return check_int(name, value, low=1)


def _share(name: str, value: Any) -> float:
    return check_fraction(name, value, low_open=True, high_open=True)


def _percent(name: str, value: Any) -> float:
    return check_fraction(name, value, high=100.0)


def _above_one(name: str, value: Any) -> float:
    value = check_positive(name, value)
    if value <= 1:
        raise UserError(f"`{name}` must be > 1, got {value:g}.")
    return value


def _one_of(*known: str) -> Check:
    return lambda name, value: check_known(name, value, known)


def _list_of(check: Check) -> Check:
    def checked(name: str, values: Any) -> tuple[Any, ...]:
        """Checks each entry by its place in the list."""
        if not isinstance(values, list) or not values:
            raise UserError(
                f"`{name}` must be a list of at least one entry, got "
                f"{values!r}."
            )
        return tuple(check(f"{name}[{i}]", x) for i, x in enumerate(values))

    return checked


def _nested(kind: type[Any], checks: Mapping[str, Check]) -> Check:
    return lambda name, values: _build(kind, values, checks, f"{name}.")


TARGET_CHECKS: dict[str, Check] = {
    "optimizers": _list_of(_text),
    "points": _count,
    "seeds": _count,
    "relaxation_percent": _percent,
    "relaxations_percent": _list_of(_percent),
}
BOOTSTRAP_CHECKS: dict[str, Check] = {"draws": _count, "confidence": _share}
CHECKS: dict[str, Check] = {
    "name": _text,
    "version": _count,
    "source": _text,
    "tuning": _one_of(*TUNING),
    "studies": _count,
    "trials_per_study": _count,
    "budget_factor": check_positive,
    "max_ratio": _above_one,
    "score_mode": _one_of(*MODES),
    "short_runs": _flag,
    "variants": _flag,
    "eval_share": _share,
    "target": _nested(TargetRules, TARGET_CHECKS),
    "time_unit": _one_of(*TIME_UNITS),
    "bootstrap": _nested(BootstrapRules, BOOTSTRAP_CHECKS),
}
