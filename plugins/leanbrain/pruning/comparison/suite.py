"""All that is compared: methods, sparsities and seeds, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import (
    UserError,
    check_known,
    check_names,
    check_positive,
)
from leanbrain.pruning.comparison.method import (
    START,
    ZERO_SHOT,
    MasksFrom,
    Method,
    Steps,
    check_different,
    check_options,
    check_seeds,
)

__all__ = [
    "START",
    "ZERO_SHOT",
    "Choice",
    "MasksFrom",
    "Method",
    "Steps",
    "Suite",
]


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

    def __post_init__(self) -> None:
        """Checks the seeds, which need not be the suite's."""
        check_seeds("seeds", self.seeds or ())


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
        Keys of dense.yaml, for the dense starts. For all of both, the keys
        that the suite itself decides are refused.
    methods : Sequence[Method]
        What is compared.
    step_s : float
        About how long an optimizer step takes, in seconds, for the estimate.
    run_s : float
        About how long a run takes beside its steps.
    related : Sequence
        Two pairs of languages each, such as (("ru", "uk"), ("en", "ru")): the
        report says in which seeds the first pair shares more of its pathways
        than the second.
    zero_shot : Mapping | None
        Keys of dense.yaml for a test of the pre-trained model as it is, with
        the first seed; None for a recipe that trains from random weights.
    keep_checkpoints : bool
        Whether the checkpoints of finished runs stay. Those of the dense
        starts always do, and the masks of all runs.
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
    related: Sequence[Sequence[Sequence[str]]] = ()
    zero_shot: Mapping[str, Any] | None = None
    keep_checkpoints: bool = True

    def __post_init__(self) -> None:
        """Checks what no method can know alone."""
        check_names("languages", self.languages)
        for key in ("seeds", "methods"):
            if not getattr(self, key):
                raise UserError(f"`{key}` must name at least one, got none.")
        if not self.name or "/" in self.name:
            raise UserError(
                f"`name` must be a name without '/', got {self.name!r}."
            )
        check_seeds("seeds", self.seeds)
        check_different("methods", [x.name for x in self.methods])
        check_options("overrides", self.overrides)
        check_options("start", self.start)
        check_options("zero_shot", self.zero_shot or {})
        check_positive("step_s", self.step_s)
        check_positive("run_s", self.run_s)
        for method in self.methods:
            self._check_source(method)
        for pairs in self.related:
            self._check_related(pairs)

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

    def has_zero_shot(self, choice: Choice | None = None) -> bool:
        """Whether a part of the suite tests the pre-trained model as it is.

        Arguments
        ---------
        choice : Choice | None
            The part.

        Returns
        -------
        bool
        """
        if self.zero_shot is None:
            return False
        names = choice.methods if choice else None
        return names is None or ZERO_SHOT in names

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
        wanted = {
            self.method(x).name
            for x in names
            if self.zero_shot is None or x != ZERO_SHOT
        }
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

    def _check_related(self, pairs: Any) -> None:
        """Looks for two pairs of languages of the suite."""
        if _is_two(pairs) and all(
            _is_two(pair)
            and pair[0] != pair[1]
            and all(x in self.languages for x in pair)
            for pair in pairs
        ):
            return
        raise UserError(
            "`related` must list two pairs of languages each, such as [[[ru, "
            f"uk], [en, ru]]], of {', '.join(self.languages)}, got {pairs!r}."
        )


def _is_two(value: Any) -> bool:
    """Whether it is a list of two."""
    return isinstance(value, list | tuple) and len(value) == 2
