"""What happens around an optimizer's step: weights dense, closures masked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from leanbrain.checks import UserError
from leanbrain.masking.targets import Target
from leanbrain.pruning.optimizers import parts_of

__all__ = ["Probe", "Stepping"]

PROBED = 4  # parameters
ENTRIES = 4096  # of each
PATIENCE = 3  # backward passes


class Stepping:
    """Runs steps of optimizers, one within another as one.

    Arguments
    ---------
    show : callable
        Called before a step, with its optimizer: weights are to be dense.
    take : callable
        Called after it: they are to be taken over.
    enter : callable
        Called before a closure; weights are to be those of the pathway.
    begin : callable
        Called after a closure; whether masks began with it, so that it is to
        be evaluated once more.
    """

    def __init__(
        self,
        show: Callable[[Any], None],
        take: Callable[[], None],
        enter: Callable[[], None],
        begin: Callable[[], bool],
    ) -> None:
        self.show, self.take, self.enter = show, take, enter
        self.begin = begin
        self.done = False  # whether weights moved since it was set to False
        # Called before and after a step, where no batch is seen.
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None
        self._at_work = False

    def __call__(
        self, optimizer: Any, step: Callable[..., Any], *args: Any, **kw: Any
    ) -> Any:
        """Runs one step, see ``around_step``."""
        if self._at_work:  # of an optimizer that another one holds
            return step(*args, **kw)
        if self.before is not None:
            self.before()
        _check_arguments(optimizer, step, args, kw)
        self._at_work = True
        try:
            self.show(optimizer)
            graded = _has_gradients(optimizer)
            evaluated: list[bool] = []
            masked = partial(self._masked, optimizer, evaluated)
            result = step(
                *map(masked, args), **{k: masked(x) for k, x in kw.items()}
            )
            self.take()
        finally:
            self._at_work = False
        if not _was_skipped(optimizer) and (graded or any(evaluated)):
            self.done = True
        if self.after is not None:
            self.after()
        return result

    def _masked(
        self, optimizer: Any, evaluated: list[bool], closure: Any
    ) -> Any:
        """Lets a closure compute with the weights of the pathway."""
        if not callable(closure):
            return closure

        def masked(*args: Any, **kwargs: Any) -> Any:
            """Computes in the pathway, then shows all weights."""
            self.take()
            self.enter()
            loss = closure(*args, **kwargs)
            if self.begin():  # a loss of dense weights is not to be stepped on
                self.enter()
                loss = closure(*args, **kwargs)
            evaluated.append(_has_gradients(optimizer))
            self.show(optimizer)
            return loss

        return masked


class Probe:
    """Notices weights that move without a step that was seen.

    A few entries of a few parameters are copied when their gradient comes,
    after all that a forward pass may write, and compared later.

    Arguments
    ---------
    targets : sequence of Target
        The managed parameters.
    between : callable
        Whether no batch is at work whose end is checked.
    """

    def __init__(
        self, targets: Sequence[Target], between: Callable[[], bool]
    ) -> None:
        self._between = between
        self._targets = {t.name: t.parameter for t in _probed(targets)}
        self._copies: dict[str, torch.Tensor] = {}
        self._strikes = dict.fromkeys(self._targets, 0)
        self._handles = [
            parameter.register_hook(self._hook(name))
            for name, parameter in self._targets.items()
        ]

    def forget(self, names: Sequence[str] | None = None) -> None:
        """These parameters, or all, may have moved: a step of theirs did it."""
        for name in self._targets if names is None else names:
            self._copies.pop(name, None)
            if name in self._strikes:
                self._strikes[name] = 0

    def check(self) -> None:
        """Compares what was copied; to be called in the same pathway.

        Raises
        ------
        UserError
            If a parameter has moved since its gradient came.
        """
        for name in self._targets:
            if self._has_moved(name):
                _refuse(name)

    @staticmethod
    def holds(targets: Sequence[Target]) -> int:
        """The most bytes of its copies."""
        return sum(
            min(ENTRIES, t.parameter.numel()) * t.parameter.element_size()
            for t in _probed(targets)
        )

    def remove(self) -> None:
        """Takes the hooks off."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[torch.Tensor], None]:
        def note(gradient: torch.Tensor) -> None:
            """Copies some entries as they are now."""
            # A forward pass may limit weights; once, not again and again
            # without a step.
            if self._between() and self._has_moved(name):
                self._strikes[name] += 1
                if self._strikes[name] >= PATIENCE:
                    _refuse(name)
            self._copies[name] = self._entries(name).clone()

        return note

    def _has_moved(self, name: str) -> bool:
        then, now = self._copies.get(name), self._entries(name)
        if then is None:
            return False
        return not bool(((now == then.to(now)) | now.isnan()).all())

    def _entries(self, name: str) -> torch.Tensor:
        return self._targets[name].detach().reshape(-1)[:ENTRIES]


def _probed(targets: Sequence[Target]) -> Sequence[Target]:
    """Some targets from all over the model."""
    return targets[:: max(1, len(targets) // PROBED)]


def _refuse(name: str) -> None:
    raise UserError(
        f"Weights must be moved by the `step` of an optimizer that a Brain "
        f"with the pruner holds, got {name!r} moved otherwise: its pruning "
        "would be lost (attach the pruner to every Brain that trains it)."
    )


def _check_arguments(
    optimizer: Any, step: Callable[..., Any], args: Any, kw: Any
) -> None:
    """Refuses a step without the closure that its optimizer demands."""
    if args or kw:
        return
    for name, parameter in inspect.signature(step).parameters.items():
        positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if positional and parameter.default is parameter.empty:
            raise UserError(
                f"The step of {type(optimizer).__name__} must be given "
                f"`{name}`, got none: SpeechBrain's own `fit_batch` gives "
                "none, so that the Brain needs one that does."
            )


def _has_gradients(optimizer: Any) -> bool:
    """Whether a step would find a gradient."""
    return any(
        parameter.grad is not None
        for part in parts_of(optimizer)
        for group in getattr(part, "param_groups", ())
        for parameter in group["params"]
    )


def _was_skipped(optimizer: Any) -> bool:
    """Whether a fused step of mixed precision has left weights alone."""
    found_inf = getattr(optimizer, "found_inf", None)
    return found_inf is not None and float(found_inf) > 0
