"""Which objects of a recipe's YAML set the learning rate."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from pydoc import ErrorDuringImport, locate

import torch
from torch.optim.lr_scheduler import LRScheduler

from leanbrain.optbench.swap.recipe_yaml import Entry, Recipe

__all__ = ["find_schedulers", "find_takers"]

# Only these are imported to see what they are: a recipe's other classes may
# be slow to import or not installed.
_MODULES = re.compile(
    r"(speechbrain\.nnet\.schedulers|torch\.optim\.lr_scheduler)\.\w+"
)
_BUILT = re.compile(r"!(new|name|apply|applyref):.+")
# What lists objects to save and load them, not to use them.
_LISTS = ("recoverables", "loadables")


def find_schedulers(recipe: Recipe) -> list[Entry]:
    """Lists what sets the learning rate of a recipe's optimizers.

    SpeechBrain has schedulers for any number that changes in a run: Tacotron 2
    gives one to its loss, for the weight of the attention. So a scheduler
    that another object of the YAML gets, other than an optimizer, is that
    one's; what the YAML leaves to the script sets the rate.

    Arguments
    ---------
    recipe : Recipe
        The recipe.

    Returns
    -------
    list of Entry
        In the order of the YAML.

    Example
    -------
    >>> recipe = Recipe('''
    ... first: !name:torch.optim.lr_scheduler.ExponentialLR {gamma: 0.9}
    ... second: !name:torch.optim.lr_scheduler.StepLR {step_size: 3}
    ... cost: !new:my_losses.Loss {weight: !ref <second>}
    ... ''')
    >>> [entry.path for entry in find_schedulers(recipe)]
    ['first']
    """
    optimizers = {entry.path for entry in recipe.optimizers()}
    built = {e.path: e for e in recipe.entries if _BUILT.fullmatch(e.node.tag)}
    return [
        entry
        for entry in built.values()
        if _is_scheduler(entry)
        and optimizers.issuperset(_users(recipe, entry, built))
    ]


def find_takers(recipe: Recipe, keys: Collection[str]) -> list[Entry]:
    """Lists what is built with one of some keys, the innermost object each.

    Arguments
    ---------
    recipe : Recipe
        The recipe.
    keys : collection of str
        Top-level keys.

    Returns
    -------
    list of Entry
        Each once.
    """
    built = {e.path: e for e in recipe.entries if _BUILT.fullmatch(e.node.tag)}
    found = {
        above: built[above]
        for e in recipe.entries
        if recipe.reference(e) in keys
        for above in _above(e, built)
    }
    return list(found.values())


def _is_scheduler(entry: Entry) -> bool:
    """Whether an entry's class is one of schedulers."""
    if not _MODULES.fullmatch(entry.target):
        return False
    try:
        found = locate(entry.target)
    except (ImportError, ErrorDuringImport):
        found = None
    if found is None:  # of another version of its package
        return True
    if not inspect.isclass(found):
        return False
    if issubclass(found, LRScheduler):
        return True
    # It is called for a rate; a module (ScheduledLoss) with predictions.
    if issubclass(found, torch.nn.Module):
        return False
    return any("__call__" in vars(kind) for kind in found.__mro__)


def _users(
    recipe: Recipe, entry: Entry, built: Collection[str]
) -> Iterator[str]:
    """Names the objects that get an entry, by reference or where it stands."""
    places = [e for e in recipe.entries if recipe.reference(e) == entry.path]
    for place in [entry, *places]:
        if not any(part in _LISTS for part in place.path.split(".")):
            yield from _above(place, built)


def _above(entry: Entry, built: Collection[str]) -> list[str]:
    """Names the innermost object that an entry is a setting of, if any."""
    parts = entry.path.split(".")
    above = (".".join(parts[:n]) for n in range(1, len(parts)))
    return [path for path in above if path in built][-1:]
