"""Which parameters can be masked, chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from leanbrain.checks import UserError, nearest
from leanbrain.masking._candidates import (
    Candidate,
    find_candidates,
    mark_usual,
    matches,
)
from leanbrain.masking._usual_names import DEFAULT_EXCLUDE

__all__ = [
    "DEFAULT_EXCLUDE",
    "UNSAVED",
    "Target",
    "count_reasons",
    "explain_targets",
    "select_targets",
]

# What a checkpoint does not hold would be pruned for the run alone.
UNSAVED = "in no recoverable of the checkpointer"


@dataclass(frozen=True, eq=False)
class Target:
    """A parameter that can be masked.

    Arguments
    ---------
    name : str
        Its first qualified name, as in `named_parameters`.
    parameter : nn.Parameter
        The parameter itself.
    group : str
        The part of the model it belongs to, for tables and charts.
    aliases : tuple
        Other names of the same parameter, if it is tied.
    """

    name: str
    parameter: nn.Parameter
    group: str
    aliases: tuple[str, ...]


def select_targets(
    modules: nn.Module | Mapping[str, nn.Module],
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    unsaved: Callable[[nn.Parameter], bool] | None = None,
) -> list[Target]:
    """Selects the parameters to mask.

    Left out whatever the patterns say: frozen parameters; biases; vectors
    (fewer than two dimensions larger than 1, which covers scales, gates and
    the magnitude of `weight_norm`); norm layers; embeddings and what is tied
    to one; the physical parameters of SincConv and GaborConv1d; what no
    checkpoint holds. What a parameter is used for shows when the model runs:
    see `UsageWatch`.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`.
    include : Sequence[str]
        Patterns (`*`, `?`, `[...]`, as for file names) on qualified parameter
        names such as "model.RNN.rnn.weight_ih_l0". A tied parameter is meant
        by each of its names.
    exclude : Sequence[str] | None
        Patterns of parameters to leave out; an empty list for none. None for
        output layers, adapters and discriminators by their usual names: see
        `DEFAULT_EXCLUDE`.
    groups : Mapping[str, Sequence[str]] | None
        Group -> patterns; the first group that matches is taken, else the
        group "other". None names groups by the first two parts of the name.
    unsaved : callable, optional
        Whether no checkpoint holds a parameter; None: all are held.

    Returns
    -------
    list
        Targets in the order of the model.

    Raises
    ------
    UserError
        If a pattern matches nothing, or nothing is left.

    Example
    -------
    >>> model = nn.ModuleDict({"enc": nn.GRU(4, 3), "ctc_lin": nn.Linear(3, 9)})
    >>> for target in select_targets(model):
    ...     print(target.name, target.group)
    enc.weight_ih_l0 enc
    enc.weight_hh_l0 enc
    >>> select_targets(model, include=["encoder.*"])
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `include` pattern 'encoder.*' must match at \
least one parameter, got none (nearest names: ...).
    """
    found = explain_targets(modules, include, exclude, groups, unsaved)
    targets = [target for target, why_not in found if why_not is None]
    if not targets:
        raise UserError(
            "`include` and `exclude` must leave at least one parameter to "
            f"mask, got none of {len(found)} "
            f"({count_reasons(why for _, why in found)}; `exclude: []` "
            "leaves nothing out by its usual name)."
        )
    return targets


def explain_targets(
    modules: nn.Module | Mapping[str, nn.Module],
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    unsaved: Callable[[nn.Parameter], bool] | None = None,
) -> list[tuple[Target, str | None]]:
    """Says of every parameter whether it is masked, and why if it is not.

    Arguments
    ---------
    modules, include, exclude, groups, unsaved
        As for `select_targets`.

    Returns
    -------
    list
        A pair for each parameter in the order of the model, tied ones once:
        what it is or would be as a target, and why it is none; None if it is.

    Raises
    ------
    UserError
        If a pattern matches nothing.

    Example
    -------
    >>> model = nn.ModuleDict({"enc": nn.GRU(4, 3), "ctc_lin": nn.Linear(3, 9)})
    >>> for target, why_not in explain_targets(model):
    ...     print(target.name, why_not)
    enc.weight_ih_l0 None
    enc.weight_hh_l0 None
    enc.bias_ih_l0 a bias
    enc.bias_hh_l0 a bias
    ctc_lin.weight an output layer
    ctc_lin.bias a bias
    """
    found = find_candidates(modules)
    if unsaved is not None:
        for candidate in found:
            if candidate.unfit is None and unsaved(candidate.parameter):
                candidate.unfit = UNSAVED
    _check_patterns("include", include, found, fit_only=True)
    if exclude is None:
        mark_usual(found)
    else:
        _check_patterns("exclude", exclude, found)
    for group, patterns in (groups or {}).items():
        _check_patterns(f"groups.{group}", patterns, found)
    return [
        (
            Target(
                c.names[0], c.parameter, _group(c, groups), tuple(c.names[1:])
            ),
            c.unfit or _why_unwanted(c, include, exclude or ()),
        )
        for c in found
    ]


def count_reasons(reasons: Iterable[str | None]) -> str:
    """Says how many parameters are left out for each reason.

    Example
    -------
    >>> count_reasons(["a bias", "frozen", None, "a bias"])
    'a bias: 2, frozen: 1'
    """
    listed = [reason for reason in reasons if reason is not None]
    return ", ".join(f"{x}: {listed.count(x)}" for x in dict.fromkeys(listed))


def _why_unwanted(
    candidate: Candidate, include: Sequence[str], exclude: Sequence[str]
) -> str | None:
    """Says what leaves a parameter out; None if nothing does."""
    if not matches(candidate.names, include):
        return "not in `include`"
    against = [p for p in exclude if matches(candidate.names, [p])]
    return f"excluded by {against[0]!r}" if against else candidate.usual


def _check_patterns(
    setting: str,
    patterns: Sequence[str],
    found: Sequence[Candidate],
    fit_only: bool = False,
) -> None:
    """Refuses patterns that have no effect."""
    if isinstance(patterns, str):
        raise UserError(
            f"`{setting}` must be a list of patterns, got the string "
            f"{patterns!r}."
        )
    if not found:
        raise UserError("`modules` must have parameters, got none.")
    for pattern in patterns:
        hits = [c for c in found if matches(c.names, [pattern])]
        if not hits:
            close = ", ".join(_nearest_names(pattern, found))
            raise UserError(
                f"`{setting}` pattern {pattern!r} must match at least one "
                f"parameter, got none (nearest names: {close})."
            )
        if fit_only and all(c.unfit for c in hits):
            raise UserError(
                f"`{setting}` pattern {pattern!r} must match at least one "
                f"parameter that can be masked, got {hits[0].names[0]!r}, "
                f"which is {hits[0].unfit}."
            )


def _nearest_names(pattern: str, found: Sequence[Candidate]) -> list[str]:
    """Finds the parameters a pattern was probably meant for."""
    names = [name for candidate in found for name in candidate.names]
    # A pattern is often a part of a name: compare with the parts too.
    parts = {
        part: name
        for name in reversed(names)
        for part in (*name.split("."), name)
    }
    close = nearest(pattern.strip("*?."), parts)
    return list(dict.fromkeys(parts[part] for part in close)) or names[:3]


def _group(
    candidate: Candidate, groups: Mapping[str, Sequence[str]] | None
) -> str:
    """Returns the group of a parameter."""
    if groups is None:
        parts = candidate.names[0].split(".")
        return ".".join(parts[:-1][:2]) or parts[0]
    for group, patterns in groups.items():
        if matches(candidate.names, patterns):
            return group
    return "other"
