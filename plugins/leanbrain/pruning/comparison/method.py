"""What a suite says of one method: its file, its settings, its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_positive,
)
from leanbrain.experiments.trials import plain

__all__ = [
    "ALL",
    "START",
    "ZERO_SHOT",
    "MasksFrom",
    "Method",
    "Steps",
    "check_different",
    "check_options",
    "check_seeds",
]

START = "start"
"""Method of the row that holds the dense start itself."""

ZERO_SHOT = "zero_shot"
"""Method of the row that holds a pre-trained model as it is."""

ALL = "all"
"""Name of what all languages share: a run, or the only mask of a method."""

# What the plan says of every run: a suite that said it too would make rows
# whose names, steps or pairing are not those of the runs.
_PLACES = ("data_folder", "output_folder", "save_folder", "languages", "seed")
_PLANNED = {
    "settings": ("sparsity", "seed", "total_steps", "initial_masks"),
    "overrides": (
        *_PLACES,
        "subset",
        "dense_checkpoint",
        "method",
        "pruning",
        "number_of_epochs",
        "batches_per_epoch",
        "total_steps",
    ),
    "start": (*_PLACES, "subset", "dense_checkpoint", "total_steps", "pruner"),
    "zero_shot": (
        *_PLACES,
        "subset",
        "dense_checkpoint",
        "number_of_epochs",
        "total_steps",
        "pruner",
    ),
}


@dataclass(frozen=True)
class Steps:
    """How long a run is.

    Arguments
    ---------
    epochs : int
        Parts of the run that end with a validation.
    batches_per_epoch : int
        Optimizer steps of each.

    Example
    -------
    >>> Steps(3, 210).scaled(0.25), Steps(3, 210).scaled(2)
    (Steps(epochs=1, batches_per_epoch=158), Steps(epochs=6, batches_per_epoch=210))
    """  # noqa: E501

    epochs: int
    batches_per_epoch: int

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_int("steps.epochs", self.epochs, low=1)
        check_int("steps.batches_per_epoch", self.batches_per_epoch, low=1)

    @property
    def total(self) -> int:
        """Optimizer steps of the run."""
        return self.epochs * self.batches_per_epoch

    def scaled(self, budget: float) -> Steps:
        """A share or a multiple of it, to the step; epochs stay about as long.

        Arguments
        ---------
        budget : float
            Steps of the new run over steps of this one.

        Returns
        -------
        Steps
            With as many epochs as divide the number of steps evenly.
        """
        total = max(1, int(self.total * budget + 0.5))
        epochs = max(1, int(self.epochs * budget))
        while total % epochs:
            epochs -= 1
        return Steps(epochs, total // epochs)


@dataclass(frozen=True)
class MasksFrom:
    """Whose masks a method starts with.

    Arguments
    ---------
    method : str
        Name of a method of the suite. If that has a run per language, each
        pathway takes the mask of its language.
    sparsity : float | None
        At which sparsity; None: at the same as the method itself.
    """

    method: str
    sparsity: float | None = None


@dataclass(frozen=True)
class Method:
    """A method of the suite.

    Arguments
    ---------
    name : str
        As tables and charts call it.
    file : str
        Name of a file in hparams/pruning, without ".yaml"; or the path of
        another one, with it.
    sparsities : Sequence[float]
        At which it is compared.
    settings : Mapping
        Keys of its file, such as {"heal": 0.4}; {"pathways": ["all"]} makes
        one mask for all languages of a method that has one for each.
    overrides : Mapping
        Keys of the recipe's entry file, such as {"lr": 0.002}.
    per_language : bool
        Whether each language has a run of its own.
    budget : float
        Steps of a run over the steps of the suite.
    masks_from : MasksFrom | None
        Whose masks it starts with.
    from_scratch : bool
        Whether it begins as the recipe's model does, with random or
        pre-trained weights: without the dense start.
    seeds : Sequence[int] | None
        With which it is run, of those that are asked for; None: with all.
    """

    name: str
    file: str
    sparsities: Sequence[float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    per_language: bool = False
    budget: float = 1.0
    masks_from: MasksFrom | None = None
    from_scratch: bool = False
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        taken = (START, ZERO_SHOT)
        if not self.name or self.name in taken or "|" in self.name:
            raise UserError(
                f"`name` of a method must be a name without '|' and not "
                f"{' or '.join(map(repr, taken))}, got {self.name!r}."
            )
        for sparsity in self.sparsities:
            check_fraction("sparsities", sparsity, high_open=True)
        check_different(
            f"sparsities of {self.name}", [f"{x:.12g}" for x in self.sparsities]
        )
        check_positive("budget", self.budget)
        check_options("settings", self.settings)
        check_options("overrides", self.overrides)
        if self.settings.get("pathways", [ALL]) != [ALL]:
            raise UserError(
                f"`settings.pathways` of {self.name} must be [{ALL}], one mask "
                f"for all languages, got {self.settings['pathways']!r}."
            )
        if self.seeds is not None:
            check_seeds(f"seeds of {self.name}", self.seeds)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuses options that are no plain JSON, or that the plan decides.

    Arguments
    ---------
    name : str
        "settings", "overrides", "start" or "zero_shot", as a suite calls
        them.
    options : Mapping
        What the suite says there.

    Raises
    ------
    UserError
        Naming the key.

    Example
    -------
    >>> check_options("settings", {"heal": 0.2})
    >>> check_options("settings", {"sparsity": 0.5})
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `settings` must not hold `sparsity`, which the suite's own keys decide, got 0.5.
    """  # noqa: E501
    plain(name, options)
    for key in _PLANNED[name]:
        if key in options:
            raise UserError(
                f"`{name}` must not hold `{key}`, which the suite's own keys "
                f"decide, got {options[key]!r}."
            )


def check_different(name: str, values: Sequence[Any]) -> None:
    """Refuses what is named twice.

    Arguments
    ---------
    name : str
        The key as the user knows it.
    values : Sequence
        Its values.

    Raises
    ------
    UserError
        If two are equal.

    Example
    -------
    >>> check_different("seeds", [1, 2])
    """
    if len(set(values)) != len(values):
        raise UserError(f"`{name}` must be different, got {list(values)}.")


def check_seeds(name: str, seeds: Sequence[int]) -> None:
    """Refuses what is no seed, and one that is named twice.

    Arguments
    ---------
    name : str
        The key as the user knows it.
    seeds : Sequence[int]
        Its values.

    Raises
    ------
    UserError
        Naming the key.

    Example
    -------
    >>> check_seeds("seeds", [1, 2])
    """
    for seed in seeds:
        check_int(name, seed, low=0)
    check_different(name, seeds)
