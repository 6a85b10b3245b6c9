"""Every parameter of a model once, and why some of them are no weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from leanbrain.masking._usual_names import DEFAULT_EXCLUDE, LAST_OF
from leanbrain.masking._walk import walk_parameters

__all__ = ["Candidate", "find_candidates", "mark_usual", "matches"]

_NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norm, lazy and synced
    nn.LayerNorm,
    nn.GroupNorm,
    *([nn.RMSNorm] if hasattr(nn, "RMSNorm") else []),
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass
class Candidate:
    """A parameter with all its names, and why it cannot be masked, if so."""

    parameter: nn.Parameter
    names: list[str]
    unfit: str | None
    usual: str | None = None  # why it is left out if nothing else is said


def find_candidates(
    modules: nn.Module | Mapping[str, nn.Module],
) -> list[Candidate]:
    """Lists all parameters, each once, with all their names."""
    found: dict[int, Candidate] = {}
    for name, owner, parameter in walk_parameters(modules):
        unfit = _why_unfit(name.rpartition(".")[2], owner, parameter)
        held = found.setdefault(id(parameter), Candidate(parameter, [], None))
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


def mark_usual(found: Sequence[Candidate]) -> None:
    """Says what is left out by its usual name."""
    for candidate in found:
        for pattern, what in DEFAULT_EXCLUDE.items():
            if matches(candidate.names, [pattern]):
                candidate.usual = candidate.usual or what
    fit = [candidate for candidate in found if candidate.unfit is None]
    for pattern, what in LAST_OF.items():
        last: dict[str, Candidate] = {}
        for candidate in fit:
            for module in _modules_of(candidate.names):
                if fnmatchcase(module, pattern):
                    last[module] = candidate  # in the order of the model
        for candidate in last.values():
            candidate.usual = candidate.usual or what


def _modules_of(names: Sequence[str]) -> list[str]:
    """The names of all modules that hold a parameter."""
    parts = [name.split(".") for name in names]
    return [".".join(p[:i]) for p in parts for i in range(1, len(p))]


def matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Says whether any of a parameter's names matches any pattern."""
    return any(fnmatchcase(n, p) for n in names for p in patterns)
