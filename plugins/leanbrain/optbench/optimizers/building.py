"""Builds the optimizer of an optimizer file and refuses what cannot work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pydoc import locate
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.closures import needs_closure

if TYPE_CHECKING:
    from leanbrain.optbench.optimizers.specs import OptimizerSpec

__all__ = ["build_optimizer", "expected_type", "first_line"]


def build_optimizer(
    spec: OptimizerSpec, params: Iterable[Any]
) -> torch.optim.Optimizer:
    """Builds an optimizer and checks it.

    Arguments
    ---------
    spec : OptimizerSpec
        The optimizer file.
    params : iterable
        Parameters or groups of them.

    Returns
    -------
    Optimizer
        Of exactly the expected class.

    Raises
    ------
    UserError
        If another class is built, the optimizer needs a closure, refuses its
        settings, or a trainable parameter is in no or in two groups.
    """
    _take_trial_step(spec)
    given = list(params)
    flat = _flatten(given)
    if len(flat) != len({id(p) for p in flat}):
        raise _held(spec.name, 0, len(flat) - len({id(p) for p in flat}))
    optimizer = _construct(spec, given)
    _check_held(spec.name, optimizer, flat)
    return optimizer


def expected_type(spec: OptimizerSpec) -> Any:
    """Imports the class that an optimizer file promises.

    Arguments
    ---------
    spec : OptimizerSpec
        The optimizer file.

    Returns
    -------
    type
        The class.

    Raises
    ------
    UserError
        If there is no such class.
    """
    found = locate(spec.expected_class)
    if found is None:
        raise UserError(
            f"`expected_class` must exist, got {spec.expected_class!r}."
        )
    return found


def _construct(spec: OptimizerSpec, params: list[Any]) -> torch.optim.Optimizer:
    """Calls `opt_class` and asserts the class."""
    expected = expected_type(spec)
    try:
        optimizer = spec.opt_class(params)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(
            f"`{spec.name}` must accept its settings and parameters, got: "
            f"{first_line(error)}"
        ) from error
    if type(optimizer) is not expected:
        built = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        raise UserError(
            f"`opt_class` of `{spec.name}` must build "
            f"{spec.expected_class}, got {built}."
        )
    return optimizer


def _take_trial_step(spec: OptimizerSpec) -> None:
    """Steps once on parameters of its own, as SpeechBrain does: no closure."""
    params = [torch.nn.Parameter(torch.ones(2, 2))]
    optimizer = _construct(spec, list(params))
    for p in params:
        p.grad = torch.ones_like(p)
    getattr(optimizer, "train", lambda: None)()
    try:
        optimizer.step()
    except Exception as error:
        if _wants_closure(optimizer, error):
            raise UserError(
                f"`{spec.name}` must step without a closure, which "
                "SpeechBrain does not pass, got one that needs it."
            ) from error
        raise UserError(
            f"`{spec.name}` must take a step on a 2 x 2 parameter, got: "
            f"{first_line(error)}"
        ) from error


def _wants_closure(
    optimizer: torch.optim.Optimizer, error: BaseException
) -> bool:
    """Says whether a step failed for want of a closure."""
    text = f"{type(error).__name__} {error}".lower()
    return needs_closure(optimizer) or "closure" in text


def _check_held(
    name: str, optimizer: torch.optim.Optimizer, params: list[torch.Tensor]
) -> None:
    """Checks that each trainable parameter is in exactly one group, once."""
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    missing = {id(p) for p in params if p.requires_grad} - set(held)
    twice = len(held) - len(set(held))
    if missing or twice:
        raise _held(name, len(missing), twice)


def _held(name: str, missing: int, twice: int) -> UserError:
    """Builds the sentence on parameters that are not held once."""
    return UserError(
        f"`{name}` must hold every trainable parameter exactly once, got "
        f"{missing} missing and {twice} held twice."
    )


def _flatten(params: list[Any]) -> list[torch.Tensor]:
    """Lists the parameters of groups, or of a plain list."""
    flat: list[torch.Tensor] = []
    for item in params:
        if isinstance(item, Mapping):
            inner = item["params"]
            single = isinstance(inner, torch.Tensor)
            flat += [inner] if single else _flatten(list(inner))
        else:
            flat.append(item[1] if isinstance(item, tuple) else item)
    return flat


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message.

    Arguments
    ---------
    error : BaseException
        Any.

    Returns
    -------
    str
        The name of its class, where it has no message.
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
