"""The command line of a single trial, as the recipes' train.py have it.

A recipe adds what is its own: how long to train, on which data, which target.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import UserError, check_int, check_known
from leanbrain.files import read_text
from leanbrain.optbench.trials.workload import read_workload
from leanbrain.shipped import find_yaml

__all__ = [
    "add_options",
    "common_config",
    "numbers",
    "read_mapping",
    "workload_keys",
]


def add_options(parser: argparse.ArgumentParser, example: str) -> None:
    """Adds the options that every workload has.

    Arguments
    ---------
    parser : ArgumentParser
        Of a recipe.
    example : str
        An override of the recipe's workloads, such as "{channels: 32}".
    """
    add = parser.add_argument
    add("workload", help="YAML file of hparams/")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a number of the optimizer's file, such as lr=1e-3; repeatable",
    )
    add("--variant", help="a held-out variant of the workload")
    add("--seed", type=int, default=1234)
    add("--threads", type=int, default=1, help="of torch, in each process")
    add(
        "--overrides",
        default="{}",
        help=f"YAML mapping of keys of the workload, such as '{example}'",
    )


def read_mapping(name: str, text: str) -> dict[str, Any]:
    """Reads a YAML mapping from the command line.

    Arguments
    ---------
    name : str
        Of the option, for the error.
    text : str
        Its value.

    Returns
    -------
    dict
        The keys.

    Raises
    ------
    UserError
        If it is something else.

    Example
    -------
    >>> read_mapping("overrides", "{channels: 32}")
    {'channels': 32}
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"`{name}` must be a YAML mapping, got {text!r}.")
    return found


def numbers(pairs: Iterable[str]) -> dict[str, float]:
    """Reads the values of `--set`.

    Arguments
    ---------
    pairs : Iterable[str]
        Each KEY=NUMBER.

    Returns
    -------
    dict
        The last number of every key.

    Raises
    ------
    UserError
        If a pair is none.

    Example
    -------
    >>> numbers(["lr=1e-3", "lr=0.5"])
    {'lr': 0.5}
    """
    found = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            raise UserError(
                f"`set` must be KEY=NUMBER, got {pair!r}."
            ) from None
    return found


def workload_keys(options: argparse.Namespace) -> dict[str, Any]:
    """Reads the keys of the workload, as the trial will find them.

    Arguments
    ---------
    options : Namespace
        Of a parser that `add_options` completed.

    Returns
    -------
    dict
        Those of the file, of the variant, and the overrides.

    Raises
    ------
    UserError
        If the file or the variant does not exist.
    """
    keys = dict(read_workload(Path(options.workload)))
    if options.variant is not None:
        variants = keys.get("variants") or {}
        keys |= variants[check_known("variant", options.variant, variants)]
    return keys | read_mapping("overrides", options.overrides)


def common_config(
    options: argparse.Namespace, recipe_folder: str | os.PathLike[str]
) -> dict[str, Any]:
    """Makes what every trial's configuration has.

    Arguments
    ---------
    options : Namespace
        Of a parser that `add_options` completed; `optimizer` is a YAML file
        or a name.
    recipe_folder : path
        Where the recipe is.

    Returns
    -------
    dict
        For `trial.run`, with neither data nor target nor length.

    Raises
    ------
    UserError
        If a setting is wrong.
    """
    optimizer = find_yaml("optimizers", options.optimizer)
    text = read_text(optimizer, "optimizer")
    return {
        "kind": "score",
        "workload": os.path.relpath(options.workload, recipe_folder),
        "variant": options.variant,
        "optimizer": optimizer.stem,
        "optimizer_yaml": text,
        "hyperparameters": numbers(options.set),
        "seed": check_int("seed", options.seed, low=0),
        "threads": options.threads,
        "overrides": read_mapping("overrides", options.overrides),
    }
