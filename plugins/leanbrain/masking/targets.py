"""Which parameters can be masked, chosen by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from leanbrain.checks import UserError, nearest
from leanbrain.masking._output_layers import DEFAULT_EXCLUDE
from leanbrain.masking._walk import walk_parameters

__all__ = [
    "DEFAULT_EXCLUDE",
    "Target",
    "explain_targets",
    "select_targets",
]

_NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norm, lazy and synced
    nn.LayerNorm,
    nn.GroupNorm,
    *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []),
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


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


@dataclass
class _Candidate:
    """A parameter with all its names, and why it cannot be masked, if so."""

    parameter: nn.Parameter
    names: list[str]
    unfit: str | None


def select_targets(
    modules: nn.Module | Mapping[str, nn.Module],
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[Target]:
    """Selects the parameters to mask.

    Left out whatever the patterns say: frozen parameters; biases; vectors
    (fewer than two dimensions larger than 1, which covers scales, gates and
    the magnitude of `weight_norm`); norm layers; embeddings and what is tied
    to one; the physical parameters of SincConv and GaborConv1d.

    Arguments
    ---------
    modules : nn.Module | Mapping[str, nn.Module]
        The model, or several by name, such as `brain.modules`.
    include : Sequence[str]
        Patterns (`*`, `?`, `[...]`, as for file names) on qualified parameter
        names such as "model.RNN.rnn.weight_ih_l0". A tied parameter is meant
        by each of its names.
    exclude : Sequence[str] | None
        Patterns of parameters to leave out; None for `DEFAULT_EXCLUDE`, the
        usual names of output layers; an empty list for none.
    groups : Mapping[str, Sequence[str]] | None
        Group -> patterns; the first group that matches is taken, else the
        group "other". None names groups by the first two parts of the name.

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
    found = explain_targets(modules, include, exclude, groups)
    targets = [target for target, why_not in found if why_not is None]
    if not targets:
        raise UserError(
            "`include` and `exclude` must leave at least one parameter to "
            f"mask, got none of {len(found)}."
        )
    return targets


def explain_targets(
    modules: nn.Module | Mapping[str, nn.Module],
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[tuple[Target, str | None]]:
    """Says of every parameter whether it is masked, and why if it is not.

    Arguments
    ---------
    modules, include, exclude, groups
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
    ctc_lin.weight excluded by '*ctc_lin.*'
    ctc_lin.bias a bias
    """
    found = _candidates(modules)
    _check_patterns("include", include, found, fit_only=True)
    if exclude is None:
        exclude = DEFAULT_EXCLUDE
    else:
        _check_patterns("exclude", exclude, found)
    for group, patterns in (groups or {}).items():
        _check_patterns(f"groups.{group}", patterns, found)
    return [
        (
            Target(
                c.names[0], c.parameter, _group(c, groups), tuple(c.names[1:])
            ),
            c.unfit or _why_unwanted(c.names, include, exclude),
        )
        for c in found
    ]


def _candidates(
    modules: nn.Module | Mapping[str, nn.Module],
) -> list[_Candidate]:
    """Lists all parameters, each once, with all their names."""
    found: dict[int, _Candidate] = {}
    for name, owner, parameter in walk_parameters(modules):
        unfit = _why_unfit(name.rpartition(".")[2], owner, parameter)
        held = found.setdefault(id(parameter), _Candidate(parameter, [], None))
        held.names.append(name)
        # One owner that forbids it is enough: an output layer that is tied to
        # an embedding is an embedding.
        held.unfit = held.unfit or unfit
    return list(found.values())


def _why_unfit(
    leaf: str, owner: nn.Module, parameter: nn.Parameter
) -> str | None:
    """Says why a parameter cannot be masked; None if it can."""
    if not parameter.requires_grad:
        return "frozen"
    if "bias" in leaf:  # some have two dimensions: pos_bias_u, fc1_biases
        return "a bias"
    if sum(size > 1 for size in parameter.shape) < 2:
        return "a vector"
    if isinstance(owner, _NORMS):
        return "of a norm layer"
    if isinstance(owner, _EMBEDDINGS) or "embedding" in leaf:
        return "an embedding"
    if isinstance(owner, _physical_layers()):
        return "a physical quantity"
    return None


def _physical_layers() -> tuple[type, ...]:
    """Returns the layers whose parameters are frequencies and bandwidths."""
    # A model can hold such a layer only if SpeechBrain's file was imported;
    # importing it here would take seconds, comparing names of classes would
    # miss those derived from them.
    cnn = sys.modules.get("speechbrain.nnet.CNN")
    return (cnn.SincConv, cnn.GaborConv1d) if cnn is not None else ()


def _why_unwanted(
    names: Sequence[str], include: Sequence[str], exclude: Sequence[str]
) -> str | None:
    """Says which pattern leaves a parameter out; None if none does."""
    if not _matches(names, include):
        return "not in `include`"
    against = [p for p in exclude if _matches(names, [p])]
    return f"excluded by {against[0]!r}" if against else None


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Says whether any of a parameter's names matches any pattern."""
    return any(fnmatchcase(n, p) for n in names for p in patterns)


def _check_patterns(
    setting: str,
    patterns: Sequence[str],
    found: Sequence[_Candidate],
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
        hits = [c for c in found if _matches(c.names, [pattern])]
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


def _nearest_names(pattern: str, found: Sequence[_Candidate]) -> list[str]:
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
    candidate: _Candidate, groups: Mapping[str, Sequence[str]] | None
) -> str:
    """Returns the group of a parameter."""
    if groups is None:
        parts = candidate.names[0].split(".")
        return ".".join(parts[:-1][:2]) or parts[0]
    for group, patterns in groups.items():
        if _matches(candidate.names, patterns):
            return group
    return "other"
