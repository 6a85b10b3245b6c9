"""Reads a suite from YAML: the file that a user of the comparison edits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_known,
)
from leanbrain.files import read_text
from leanbrain.pruning.comparison.suite import MasksFrom, Method, Steps, Suite

__all__ = ["SAME", "load_suite"]

SAME = "same"
"""Sparsity of `masks_from`: that of the method itself."""

REQUIRED = ("name", "seeds", "sparsities", "steps", "methods")
OPTIONAL = (
    "languages",
    "overrides",
    "start",
    "step_s",
    "run_s",
    "related",
    "zero_shot",
    "keep_checkpoints",
)
METHOD = (
    "name",
    "method",
    "sparsities",
    "settings",
    "overrides",
    "per_language",
    "budget",
    "masks_from",
    "from_scratch",
    "seeds",
)


def load_suite(
    path: str | os.PathLike[str], languages: Sequence[str] | None = None
) -> Suite:
    """Reads a suite.

    Arguments
    ---------
    path : path
        The YAML file.
    languages : Sequence[str] | None
        Those of the data, for a file that names none.

    Returns
    -------
    Suite
        What it says.

    Raises
    ------
    UserError
        If the file is missing or wrong; the message names the key.
    """
    keys = _read(Path(path))
    _check_keys("the suite", keys, [*REQUIRED, *OPTIONAL])
    for key in REQUIRED:
        if not keys.get(key):
            raise UserError(f"The suite {path} must have the key `{key}`.")
    shared = _list("sparsities", keys["sparsities"])
    steps = _mapping("steps", keys["steps"])
    _check_keys("steps", steps, ("epochs", "batches_per_epoch"), all_of=True)
    named = keys.get("languages") or list(languages or ())
    return Suite(
        name=str(keys["name"]),
        languages=_list("languages", named),
        seeds=_list("seeds", keys["seeds"]),
        steps=Steps(**steps),
        overrides=_mapping("overrides", keys.get("overrides")),
        start=_mapping("start", keys.get("start")),
        methods=[
            _method(_mapping("methods", x), shared, Path(path).parent)
            for x in _list("methods", keys["methods"])
        ],
        related=_list("related", keys.get("related") or []),
        zero_shot=_mapping("zero_shot", keys["zero_shot"])
        if "zero_shot" in keys
        else None,
        keep_checkpoints=_flag("keep_checkpoints", keys, default=True),
        **{x: keys[x] for x in ("step_s", "run_s") if x in keys},
    )


def _method(
    keys: Mapping[str, Any], shared: Sequence[float], folder: Path
) -> Method:
    """One entry of `methods`."""
    _check_keys("methods", keys, METHOD)
    if not isinstance(keys.get("name"), str):
        raise UserError(
            f"Every entry of `methods` must have a `name`, got {dict(keys)}."
        )
    file = str(keys.get("method", keys["name"]))
    if file.endswith(".yaml"):
        file = str((folder / file).resolve())
    return Method(
        name=keys["name"],
        file=file,
        sparsities=_list("sparsities", keys.get("sparsities", list(shared))),
        settings=_mapping("settings", keys.get("settings")),
        overrides=_mapping("overrides", keys.get("overrides")),
        per_language=_flag("per_language", keys),
        budget=keys.get("budget", 1.0),
        masks_from=_masks_from(keys.get("masks_from")),
        from_scratch=_flag("from_scratch", keys),
        seeds=_list("seeds", keys["seeds"]) if "seeds" in keys else None,
    )


def _flag(name: str, keys: Mapping[str, Any], default: bool = False) -> bool:
    """A key that is True or False."""
    value = keys.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise UserError(f"`{name}` must be True or False, got {value!r}.")
    return value


def _masks_from(value: Any) -> MasksFrom | None:
    """Whose masks; None if it takes nobody's."""
    if value is None:
        return None
    keys = _mapping("masks_from", value)
    names = ("method", "sparsity")
    _check_keys("masks_from", keys, names, all_of=True)
    sparsity = keys["sparsity"]
    if sparsity != SAME:
        sparsity = check_fraction("masks_from.sparsity", sparsity)
    return MasksFrom(
        str(keys["method"]), None if sparsity == SAME else sparsity
    )


def _read(path: Path) -> dict[str, Any]:
    """The content of the file."""
    text = read_text(path, "suite")
    try:
        content = yaml.load(text, Loader=_EachKeyOnce)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"The suite {path} must be plain YAML ({reason})."
        ) from error
    return _mapping("suite", content)


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses what YAML forbids and its loader takes: the last of two keys."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Any, Any]:
        """Builds a mapping of different keys."""
        names = [self.construct_object(key) for key, _ in node.value]
        twice = [x for x in names if names.count(x) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {twice[0]!r} is there twice",
                problem_mark=node.start_mark,
            )
        return super().construct_mapping(node, deep)


def _check_keys(
    name: str,
    keys: Mapping[str, Any],
    known: Sequence[str],
    *,
    all_of: bool = False,
) -> None:
    """Refuses keys that mean nothing, and such as are missing."""
    for key in keys:
        check_known(f"key of {name}", key, known)
    for key in known if all_of else ():
        if key not in keys:
            raise UserError(
                f"`{name}` must have the keys {', '.join(known)}, got "
                f"{', '.join(keys)}."
            )


def _mapping(name: str, value: Any) -> dict[str, Any]:
    """A mapping; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"`{name}` must be a mapping, got {value!r}.")
    return value


def _list(name: str, value: Any) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise UserError(f"`{name}` must be a list, got {value!r}.")
    return value
