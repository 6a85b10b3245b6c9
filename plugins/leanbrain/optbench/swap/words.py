"""What swapping an optimizer cannot mend and must say."""

from __future__ import annotations

import re

from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.swap.recipe_yaml import Entry, Recipe
from leanbrain.optbench.swap.schedulers import find_schedulers, find_takers
from leanbrain.optbench.swap.text import child

__all__ = ["warn_rates", "warn_schedulers", "warn_takers"]


def warn_rates(
    recipe: Recipe, chosen: list[Entry], new: str | None, keep_lr: bool
) -> list[str]:
    """Says where learning rates are not what the recipe's author meant.

    Arguments
    ---------
    recipe : Recipe
        The recipe as it was.
    chosen : list of Entry
        The optimizers that were replaced.
    new : str | None
        The new rate, as YAML.
    keep_lr : bool
        Whether rates were to stay.

    Returns
    -------
    list of str
        One sentence each.
    """
    old = {}
    for entry in chosen:
        lr = child(recipe, entry, "lr")
        old[entry.path] = "none" if lr is None else recipe.text_of(lr)
    if keep_lr:
        return [
            f"`{path}` has no `lr` to keep; it gets {new}."
            for path, lr in old.items()
            if lr == "none"
        ]
    if len(set(old.values())) < 2:
        return []
    listed = ", ".join(f"`{path}`: {lr}" for path, lr in old.items())
    return [
        f"Optimizers that had rates of their own ({listed}) now have the same "
        "one; `--keys` swaps some of them, `--keep-lr` keeps the rates."
    ]


def warn_schedulers(
    recipe: Recipe, spec: OptimizerSpec, rates: set[str]
) -> list[str]:
    """Says which schedulers of a recipe overwrite the learning rate.

    Arguments
    ---------
    recipe : Recipe
        The new recipe.
    spec : OptimizerSpec
        Its new optimizer.
    rates : set of str
        The keys that have the new rate.

    Returns
    -------
    list of str
        One sentence each.
    """
    lines = []
    for entry in find_schedulers(recipe):
        used = re.findall(r"<(\w+)", recipe.text_of(entry))
        known = [f"`{key}`" for key in used if key in rates]
        named = ", ".join(f"`{key}`" for key in used) or "in its node"
        line = (
            f"`{entry.path}` ({entry.target.rpartition('.')[2]}) overwrites "
            "the rate of all groups, "
        )
        line += (
            f"starting from {known[0]}, which has the new rate"
            if known
            else f"by its own settings ({named}): adapt them to the optimizer"
        )
        if spec.lr_schedule(1.0) == 1.0:
            line += f"; `{spec.name}` wants a constant rate"
        lines.append(line + ".")
    return lines


def warn_takers(recipe: Recipe, rates: set[str]) -> list[str]:
    """Says what else of a recipe gets the new learning rate.

    Arguments
    ---------
    recipe : Recipe
        The new recipe.
    rates : set of str
        The keys that have the new rate.

    Returns
    -------
    list of str
        One sentence each.
    """
    known = [*find_schedulers(recipe), *recipe.optimizers()]
    return [
        f"`{entry.path}` ({entry.target.rpartition('.')[2]}) gets the new "
        "rate as well: see whether it should."
        for entry in find_takers(recipe, rates)
        if entry not in known
    ]
