"""The text of an optimizer's node, as it is put into a recipe."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from typing import Any

import yaml

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.swap.recipe_yaml import Entry, Recipe

__all__ = ["as_yaml", "child", "class_and_settings", "node_text"]


def class_and_settings(spec: OptimizerSpec) -> tuple[str, dict[str, str]]:
    """Reads what an optimizer file's `opt_class` stands for.

    Arguments
    ---------
    spec : OptimizerSpec
        The optimizer file, overrides applied.

    Returns
    -------
    tuple
        The class's dotted name and its settings as YAML, references resolved.

    Raises
    ------
    UserError
        If `opt_class` is no `!name:` with named, plain settings.
    """
    entry = Recipe(spec.text).entry("opt_class")
    built: Any = spec.opt_class
    if entry is None or not isinstance(built, partial) or built.args:
        raise UserError(
            f"`opt_class` of `{spec.name}` must be a `!name:` with named "
            "settings to be put into a recipe."
        )
    return entry.target, {k: as_yaml(v) for k, v in built.keywords.items()}


def as_yaml(value: Any) -> str:
    """Writes a plain value so that HyperPyYAML reads the same one.

    Arguments
    ---------
    value : Any
        Number, string, boolean, None, or a list or tuple of them.

    Returns
    -------
    str
        On one line; tuples become lists.

    Raises
    ------
    UserError
        If the value is none of these.

    Example
    -------
    >>> as_yaml([0.9, None, True, "x"])
    '[0.9, null, True, "x"]'
    """
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_yaml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, int) or (
        isinstance(value, float) and math.isfinite(value)
    ):
        return repr(value)
    raise UserError(
        "The settings of an optimizer that is put into a recipe must be "
        f"numbers, strings or lists of them, got {value!r}."
    )


def child(recipe: Recipe, entry: Entry, name: str) -> Entry | None:
    """Finds a named setting of a node; None if there is none."""
    return recipe.entry(f"{entry.path}.{name}")


def node_text(
    recipe: Recipe, entry: Entry, target: str, settings: dict[str, str]
) -> str:
    """Writes the node that takes an optimizer's place.

    Arguments
    ---------
    recipe : Recipe
        The recipe as it is.
    entry : Entry
        The optimizer in it.
    target : str
        Dotted name of the new class.
    settings : dict
        Its settings, as YAML.

    Returns
    -------
    str
        The text for the entry's place: the same anchor, the same kind of
        node; in braces where the old one stands in braces. A comment on its
        first line stays, those on its settings go with them.
    """
    old = recipe.text_of(entry)
    head = old.split("\n", 1)[0]
    anchor = re.match(r"(?:![^\s]+\s+)?(&[^\s,\]}]+)", head)
    start = f"{anchor[1]} " if anchor else ""
    start += f"!{entry.kind}:{target}"
    if entry.kind != "name":
        settings = {"params": _params(recipe, entry), **settings}
    pairs = [f"{key}: {value}" for key, value in settings.items()]
    if not pairs:
        return start
    if entry.flow:
        return f"{start} {{{', '.join(pairs)}}}"
    indent = "\n" + " " * (entry.column + 4)
    comment = re.fullmatch(r"(?:[!&]\S+\s+)+(#.*)", head)
    if comment:
        start += f" {comment[1]}"
    return start + "".join(indent + pair for pair in pairs)


def _params(recipe: Recipe, entry: Entry) -> str:
    """Finds what an optimizer that is built in the YAML is built on."""
    first = "0" if isinstance(entry.node, yaml.SequenceNode) else "params"
    found = child(recipe, entry, first)
    if found is None:
        raise UserError(
            f"`{entry.path}` must name its `params`, as it is built in the "
            "YAML."
        )
    return recipe.text_of(found)
