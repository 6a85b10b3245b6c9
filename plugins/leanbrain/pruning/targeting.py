"""Which parameters a pruner manages, and how it comes to leave some out."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from leanbrain.checks import UserError
from leanbrain.masking._usual_names import in_discriminator
from leanbrain.masking.targets import (
    Target,
    count_reasons,
    explain_targets,
    select_targets,
)
from leanbrain.pruning.choice import say_choice
from leanbrain.pruning.trial import Trial

__all__ = ["TargetChoice", "manager_of"]

# Parameter -> its pruner, whose hooks on the parameter keep it alive.
_managers: MutableMapping[torch.nn.Parameter, weakref.ref[Any]] = (
    WeakIdKeyDictionary()
)


class TargetChoice:
    """Chooses targets by name and kind, and by what the first steps show.

    Arguments
    ---------
    include, exclude, groups
        See ``select_targets``.
    """

    def __init__(
        self,
        include: Sequence[str],
        exclude: Sequence[str] | None,
        groups: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self.include, self.exclude, self.groups = include, exclude, groups
        self.targets: list[Target] = []
        # Every parameter of the model, and why it is not pruned, if it is not.
        self.choice: list[tuple[Target, str | None]] = []
        self.left_out: dict[str, str] = {}  # targets that turned out to be none
        self.trial: Trial | None = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.targets[0].parameter.device

    def take_over(self, targets: Sequence[Target]) -> None:
        """Manages these parameters, dense ones, from now on."""
        raise TypeError(f"{type(self).__name__} must define `take_over`.")

    def manage(
        self,
        modules: torch.nn.Module | Mapping[str, torch.nn.Module],
        unsaved: Callable[[torch.nn.Parameter], bool] | None = None,
    ) -> None:
        """Chooses the parameters and takes them over, still dense.

        Arguments
        ---------
        modules : torch.nn.Module or mapping of them
            As for ``select_targets``.
        unsaved : callable, optional
            As for ``select_targets``.

        Raises
        ------
        UserError
            At a second call, if a pattern matches nothing, or if another
            pruner manages one of the parameters.
        """
        if self.targets:
            raise UserError(
                "A pruner must manage the modules of one model, got a second "
                "one: make another pruner for it."
            )
        chosen = (modules, self.include, self.exclude, self.groups, unsaved)
        targets = select_targets(*chosen)
        _check_unmanaged(targets)
        self.choice = explain_targets(*chosen)
        self.take_over(targets)
        _managers.update((t.parameter, weakref.ref(self)) for t in targets)

    def try_first(self) -> None:
        """Lets the first steps show which targets are none: see ``Trial``."""
        self.trial = Trial(
            self.targets,
            judges_use=self.exclude is None,
            discriminators={
                id(t.parameter)
                for t, _ in self.choice
                if in_discriminator(t.name)
            },
        )

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Gives up targets, before the first masks.

        Arguments
        ---------
        reasons : mapping
            Name -> why; what is no target is passed over.

        Raises
        ------
        UserError
            If no target would be left.
        """
        found = {
            t.name: reasons[t.name] for t in self.targets if t.name in reasons
        }
        if not found:
            return
        if len(found) == len(self.targets):
            why = count_reasons(found.values())
            raise UserError(
                "At least one of the parameters to prune must be trained and "
                f"saved, got none of {len(found)} ({why})."
            )
        for target in self.targets:
            if target.name in found:
                _managers.pop(target.parameter, None)
        self.left_out.update(found)
        self.choice = [(t, found.get(t.name, why)) for t, why in self.choice]
        self.take_over([t for t in self.targets if t.name not in found])

    def end_trial(self) -> None:
        """Leaves out what the first steps have shown."""
        trial, self.trial = self.trial, None
        if trial is not None:
            self.leave_out(trial.left_out(self.device))
            say_choice(self.choice)


def manager_of(parameter: torch.nn.Parameter) -> Any:
    """The pruner that manages a parameter, or None."""
    found = _managers.get(parameter)
    return None if found is None else found()


def _check_unmanaged(targets: Sequence[Target]) -> None:
    """Refuses parameters that another pruner manages: both would move them."""
    for target in targets:
        if manager_of(target.parameter) is not None:
            raise UserError(
                "A parameter must have one pruner, got a second one for "
                f"{target.name!r}: attach the first one to every Brain that "
                "trains it, `exclude` it here, or make the model anew."
            )
