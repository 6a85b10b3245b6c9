"""What the user of a stock script asks a pruner for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError, check_int
from leanbrain.pruning.batches import language_of
from leanbrain.pruning.methods import load_method, method_facts
from leanbrain.shipped import find_yaml

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["ANY_LENGTH", "PruningRequest"]

# Of a run whose length is not known yet: to see whether settings fit.
ANY_LENGTH = 10_000


@dataclass(frozen=True)
class PruningRequest:
    """What the user of a stock script asks for.

    Arguments
    ---------
    method : str or path
        Its name, such as "lap", or its YAML file.
    settings : dict
        Values for the file's own keys.
    pathways : sequence of str
        Names of the sub-networks.
    pathway_key : str
        Item of a batch that names its pathway; looked at with several.
    include, exclude : sequence of str, optional
        See ``select_targets``; default: those of the file.
    brain : str, optional
        Class of the Brain; default: the first that is fitted.
    total_steps : int, optional
        Optimizer steps of the run; default: counted.
    """

    method: str | os.PathLike[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    pathways: Sequence[str] = ("all",)
    pathway_key: str = "lang"
    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    brain: str | None = None
    total_steps: int | None = None

    def facts(self) -> dict[str, Any]:
        """What a run must have in common with the one that it continues.

        Returns
        -------
        dict
            The method's file, its keys with their values, and what else the
            user asks for, as plain data; without its length, which is that of
            the run.
        """
        own = method_facts(self.method, **self.settings)
        for name in ("total_steps", "pathways"):
            own.pop(name, None)
        typed = {"include": self.include, "exclude": self.exclude}
        return {
            "method": find_yaml("pruning", self.method).name,
            **own,
            **{k: list(v) for k, v in typed.items() if v is not None},
            "pathways": list(self.pathways),
            "pathway_key": self.pathway_key,
        }

    def build(self, total_steps: int) -> AdaptivePruner:
        """Builds the pruner of a run.

        Arguments
        ---------
        total_steps : int
            Optimizer steps of the run.

        Returns
        -------
        AdaptivePruner
            Not attached.

        Raises
        ------
        UserError
            If the file or a setting is wrong.
        """
        for name in ("total_steps", "pathways"):
            if name in self.settings:
                raise UserError(
                    f"`{name}` must be given as `--{name}`, got it among the "
                    f"settings of {os.fspath(self.method)}."
                )
        loaded = load_method(
            self.method,
            **self.settings,
            total_steps=check_int("total_steps", total_steps, low=1),
            pathways=list(self.pathways),
        )
        pruner: AdaptivePruner = loaded["pruner"]
        if tuple(pruner.pathways) != tuple(self.pathways):
            raise UserError(
                f"`--pathways` must be left out for {os.fspath(self.method)}, "
                "which has one mask for all, got "
                f"{' '.join(map(str, self.pathways))}."
            )
        pruner.pathway_of = partial(language_of, key=self.pathway_key)
        if self.include is not None:
            pruner.include = list(self.include)
        if self.exclude is not None:
            pruner.exclude = list(self.exclude)
        return pruner

    def check(self) -> None:
        """Raises a UserError for settings that no run could have."""
        given = self.total_steps
        self.build(ANY_LENGTH if given is None else given)
