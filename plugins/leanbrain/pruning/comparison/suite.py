"""What is compared: methods, sparsities, seeds and budgets, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_known,
    check_positive,
)

__all__ = ["START", "Choice", "MasksFrom", "Method", "Steps", "Suite"]

START = "start"
"""Method of the row that holds the dense start itself."""


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
        Keys of its file, such as {"heal": 0.4}.
    overrides : Mapping
        Keys of the recipe's entry file, such as {"lr": 0.002}.
    per_language : bool
        Whether each language has a run of its own.
    budget : float
        Steps of a run over the steps of the suite.
    masks_from : MasksFrom | None
        Whose masks it starts with.
    """

    name: str
    file: str
    sparsities: Sequence[float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    per_language: bool = False
    budget: float = 1.0
    masks_from: MasksFrom | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if not self.name or self.name == START or "|" in self.name:
            raise UserError(
                f"`name` of a method must be a name without '|' and not "
                f"{START!r}, got {self.name!r}."
            )
        for sparsity in self.sparsities:
            check_fraction("sparsities", sparsity, high_open=True)
        check_positive("budget", self.budget)


@dataclass(frozen=True)
class Choice:
    """A part of a suite; None takes all.

    Arguments
    ---------
    methods : Sequence[str] | None
        Names of methods.
    sparsities : Sequence[float] | None
        Sparsities; dense controls belong to every part.
    seeds : Sequence[int] | None
        Seeds.
    """

    methods: Sequence[str] | None = None
    sparsities: Sequence[float] | None = None
    seeds: Sequence[int] | None = None


@dataclass(frozen=True)
class Suite:
    """All that is compared.

    Arguments
    ---------
    name : str
        What its results are called.
    languages : Sequence[str]
        A pathway for each.
    seeds : Sequence[int]
        A dense start for each, and a run of each method from it.
    steps : Steps
        Length of a run.
    overrides : Mapping
        Keys of the recipe's entry file, for every run but the dense starts.
    start : Mapping
        Keys of dense.yaml, for the dense starts.
    methods : Sequence[Method]
        What is compared.
    step_s : float
        About how long an optimizer step takes, in seconds, for the estimate.
    run_s : float
        About how long a run takes beside its steps.
    """

    name: str
    languages: Sequence[str]
    seeds: Sequence[int]
    steps: Steps
    overrides: Mapping[str, Any]
    start: Mapping[str, Any]
    methods: Sequence[Method]
    step_s: float = 0.2
    run_s: float = 20.0

    def __post_init__(self) -> None:
        """Checks what no method can know alone."""
        for key in ("languages", "seeds", "methods"):
            if not getattr(self, key):
                raise UserError(f"`{key}` must name at least one, got none.")
        for key, values in (
            ("languages", self.languages),
            ("seeds", self.seeds),
            ("methods", [x.name for x in self.methods]),
        ):
            if len(set(values)) != len(values):
                raise UserError(
                    f"`{key}` must be different, got {list(values)}."
                )
        for seed in self.seeds:
            check_int("seeds", seed, low=0)
        check_positive("step_s", self.step_s)
        check_positive("run_s", self.run_s)
        for method in self.methods:
            self._check_source(method)

    def method(self, name: str) -> Method:
        """The method of a name.

        Arguments
        ---------
        name : str
            The name.

        Returns
        -------
        Method

        Raises
        ------
        UserError
            If there is none.
        """
        known = {x.name: x for x in self.methods}
        return known[check_known("method", name, known)]

    def cells(self, choice: Choice | None = None) -> list[tuple[str, float]]:
        """Method and sparsity of each row, in the order of the file.

        Arguments
        ---------
        choice : Choice | None
            A part of the suite.

        Returns
        -------
        list
            Pairs; what only gives masks to others is not among them.

        Raises
        ------
        UserError
            If the choice names what the suite does not have.
        """
        choice = choice or Choice()
        names = choice.methods
        if names is None:
            names = [x.name for x in self.methods]
        wanted = {self.method(x).name for x in names}
        known = {y for x in self.methods for y in x.sparsities}
        for sparsity in choice.sparsities or ():
            if sparsity not in known:
                raise UserError(
                    "`sparsities` must be some of the suite's "
                    f"({', '.join(f'{x:g}' for x in sorted(known))}), got "
                    f"{sparsity:g}."
                )
        return [
            (method.name, sparsity)
            for method in self.methods
            if method.name in wanted
            for sparsity in method.sparsities
            if choice.sparsities is None
            or sparsity in (0.0, *choice.sparsities)
        ]

    def _check_source(self, method: Method) -> None:
        """Looks for masks that are nobody's, or that go in a circle."""
        seen = [method.name]
        while method.masks_from is not None:
            name = method.masks_from.method
            if name in seen:
                raise UserError(
                    "`masks_from` must not lead back to the method itself, "
                    f"got {' from '.join([*seen, name])}."
                )
            method = self.method(name)
            seen.append(name)
