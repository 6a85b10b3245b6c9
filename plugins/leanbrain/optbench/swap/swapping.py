"""Puts another optimizer into a stock recipe, without touching its code.

HyperPyYAML merges overrides into a node and keeps its class: on the command
line an optimizer's settings can be changed, never the optimizer. So the node
itself is replaced, in the text of the YAML.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from leanbrain.checks import UserError, check_known
from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.swap.checking import assert_class
from leanbrain.optbench.swap.recipe_yaml import Entry, Recipe
from leanbrain.optbench.swap.text import child, class_and_settings, node_text
from leanbrain.optbench.swap.words import (
    warn_rates,
    warn_schedulers,
    warn_takers,
)

__all__ = ["Swap", "swap_optimizer"]


@dataclass
class Swap:
    """A recipe with another optimizer.

    Arguments
    ---------
    text : str
        The new YAML.
    replaced : dict
        Path of each replaced key -> what happened, in words.
    warnings : list of str
        What will not be as one might think.
    """

    text: str = ""
    replaced: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def swap_optimizer(
    recipe_text: str,
    spec: OptimizerSpec,
    keys: Iterable[str] | None = None,
    *,
    keep_lr: bool = False,
) -> Swap:
    """Replaces the optimizer of a recipe by that of an optimizer file.

    The new learning rate is the optimizer file's. Where the recipe takes its
    rate from a key of its own (`lr: !ref <lr>`), that key gets the new value
    and stays in use: a scheduler that starts from the same key then starts
    from the new rate, and `--lr` on the command line still works. The
    optimizer file's own schedule is not used; the recipe's is.

    Arguments
    ---------
    recipe_text : str
        The YAML of any recipe of SpeechBrain.
    spec : OptimizerSpec
        What to put in.
    keys : Iterable[str] | None
        Which optimizers of the recipe; None takes all.
    keep_lr : bool
        Whether the recipe's learning rate stays as it is.

    Returns
    -------
    Swap
        The new text, what was replaced, warnings.

    Raises
    ------
    UserError
        If the recipe names no optimizer, has no such key, or the new YAML
        does not build the class that it should.

    Example
    -------
    >>> from leanbrain.optbench.optimizers.specs import load_optimizer
    >>> spec = load_optimizer(text='''
    ... {name: sgd, source: "", needs: null, lr: 0.1, search_space: {},
    ...  expected_class: torch.optim.SGD,
    ...  opt_class: !name:torch.optim.SGD {lr: !ref <lr>},
    ...  lr_schedule: !name:leanbrain.optbench.optimizers.schedules.constant }
    ... ''')
    >>> recipe = '''
    ... lr: 0.001 # tuned
    ... opt_class: !name:torch.optim.Adam
    ...     lr: !ref <lr>
    ...     betas: (0.9, 0.98)
    ... '''
    >>> print(swap_optimizer(recipe, spec).text.strip())
    lr: 0.1 # tuned
    opt_class: !name:torch.optim.SGD
        lr: !ref <lr>
    """
    recipe = Recipe(recipe_text)
    chosen = _choose(recipe.optimizers(), keys)
    target, settings = class_and_settings(spec)
    swap, edits, rates = Swap(), {}, set()
    for entry in chosen:
        ours = dict(settings)
        old = child(recipe, entry, "lr")
        rate = _rate_key(recipe, entry, chosen)
        if old is not None and "lr" in ours and (keep_lr or rate is not None):
            ours["lr"] = recipe.text_of(old)
        if rate is not None and "lr" in ours and not keep_lr:
            edits[rate.start, rate.end] = settings["lr"]
            rates.add(rate.path)
        edits[entry.start, entry.end] = node_text(recipe, entry, target, ours)
        rate_text = ours.get("lr", "of the class")
        if rate is not None and rate_text != settings.get("lr"):
            now = recipe.text_of(rate) if keep_lr else settings["lr"]
            rate_text += f" = {now}"
        swap.replaced[entry.path] = (
            f"{entry.target} -> {target}, lr {rate_text}"
        )
    swap.text = _apply(recipe_text, edits)
    new = Recipe(swap.text)
    for path in swap.replaced:
        assert_class(new, _existing(new, path), spec)
    swap.warnings = warn_rates(recipe, chosen, settings.get("lr"), keep_lr)
    swap.warnings += warn_schedulers(new, spec, rates)
    swap.warnings += warn_takers(new, rates)
    return swap


def _choose(found: list[Entry], keys: Iterable[str] | None) -> list[Entry]:
    """Picks the optimizers that the user means, by path or last key."""
    if not found:
        raise UserError(
            "The recipe must name an optimizer (`!name:torch.optim...`), got "
            "none."
        )
    if keys is None:
        return found
    names = {entry.path: entry for entry in found}
    short = {path.rpartition(".")[2]: path for path in names}
    wanted = [check_known("keys", key, {**names, **short}) for key in keys]
    paths = {short.get(key, key) if key not in names else key for key in wanted}
    return [entry for entry in found if entry.path in paths]


def _rate_key(
    recipe: Recipe, entry: Entry, chosen: list[Entry]
) -> Entry | None:
    """Finds the recipe's own key for an optimizer's rate, if it may change.

    It may if it is a plain number that no optimizer refers to that stays.
    """
    name = _reference(recipe, entry)
    key = recipe.entry(name) if name else None
    if key is None or not _is_number(recipe.text_of(key)):
        return None
    kept = [e for e in recipe.optimizers() if e not in chosen]
    if any(f"<{name}>" in recipe.text_of(e) for e in kept):
        return None
    return key


def _reference(recipe: Recipe, entry: Entry) -> str | None:
    """Names the key that an optimizer's `lr` refers to."""
    lr = child(recipe, entry, "lr")
    name = recipe.reference(lr) if lr else None
    return name if name and "." not in name else None


def _is_number(text: str) -> bool:
    """Says whether a text is a plain number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _existing(recipe: Recipe, path: str) -> Entry:
    """Finds an entry that must be there."""
    entry = recipe.entry(path)
    if entry is None:
        raise UserError(f"`{path}` is missing in the new recipe.")
    return entry


def _apply(text: str, edits: dict[tuple[int, int], str]) -> str:
    """Replaces spans, the last one first: the others then stay in place."""
    for (start, end), new in sorted(edits.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text
