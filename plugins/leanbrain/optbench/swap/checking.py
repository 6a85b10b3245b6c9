"""Proof that a swapped recipe builds the optimizer it should."""

from __future__ import annotations

import re
import textwrap

import torch

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.optbench.optimizers.building import expected_type
from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.swap.recipe_yaml import Entry, Recipe

__all__ = ["assert_class"]

_REFERENCE = re.compile(r"<(\w+)[^<>]*>")


def assert_class(
    recipe: Recipe, entry: Entry, spec: OptimizerSpec
) -> torch.optim.Optimizer:
    """Builds one optimizer of a recipe on a small model.

    Only the optimizer's part of the YAML is loaded, with what it refers to: a
    recipe's other parts may want data or downloads.

    Arguments
    ---------
    recipe : Recipe
        The new recipe.
    entry : Entry
        Its new optimizer.
    spec : OptimizerSpec
        The optimizer file.

    Returns
    -------
    Optimizer
        The optimizer.

    Raises
    ------
    UserError
        If it cannot be built or is of another class.
    """
    factory = _as_factory(recipe, entry)
    keys, overrides = _closure(recipe, factory)
    lines = [recipe.text_of_pair(key) for key in keys]
    lines.append(f"swapped: {factory}")
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Conv1d(1, 1, 2))
    try:
        loaded = load_yaml("\n".join(lines) + "\n", overrides)
        optimizer = loaded["swapped"](model.parameters())
    except Exception as error:  # whatever the YAML and the class may raise
        line = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"`{entry.path}` of the new recipe does not load: {line}"
        ) from error
    if type(optimizer) is not expected_type(spec):
        raise UserError(
            f"`{entry.path}` of the new recipe must build "
            f"{spec.expected_class}, got {type(optimizer).__name__}."
        )
    return optimizer


def _closure(recipe: Recipe, text: str) -> tuple[list[str], dict[str, float]]:
    """Lists the keys that a text refers to, directly or not, and stand-ins."""
    keys: list[str] = []
    overrides: dict[str, float] = {}
    todo = _REFERENCE.findall(text)
    while todo:
        key = todo.pop()
        entry = recipe.entry(key)
        if entry is None or key in keys:
            continue
        keys.append(key)
        if "!PLACEHOLDER" in recipe.text_of(entry):
            overrides[key] = 1e-3  # the user's to give
        todo += _REFERENCE.findall(recipe.text_of(entry))
    return keys, overrides


def _as_factory(recipe: Recipe, entry: Entry) -> str:
    """Returns a node's text, as a factory where it would be built at once."""
    text = recipe.text_of(entry)
    if entry.kind != "name":
        text = text.replace(f"!{entry.kind}:", "!name:", 1)
        params = recipe.entry(f"{entry.path}.params")
        if params is not None:
            text = text.replace(f"params: {recipe.text_of(params)}", "", 1)
            text = text.replace("{, ", "{", 1)
    head, _, rest = text.partition("\n")
    rest = textwrap.indent(textwrap.dedent(rest), "    ")
    return f"{head}\n{rest}" if rest else head
