"""Averages of pruned weights, over masks that have changed: they fill up."""

from __future__ import annotations

import gc
import logging
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from leanbrain.checks import UserError
from leanbrain.pruning.targeting import manager_of

if TYPE_CHECKING:
    from leanbrain.masking.maskset import MaskSet
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["mask_average", "say_averages"]

logger = logging.getLogger(__name__)

# Whether weights are those of an average: others of the same name and shape
# are about 0, unless they are of very few weights.
_ALIKE = 0.5

Pair = tuple[str, torch.Tensor]


@torch.no_grad()
def mask_average(average: torch.nn.Module, model: torch.nn.Module) -> int:
    """Zeros the weights of an average that no pathway keeps.

    An average over steps between which masks changed keeps what any of them
    kept. One that began when the masks were final is sparse by itself, and
    better: weights that came late have zeros in their average.

    Arguments
    ---------
    average : torch.nn.Module
        ``AveragedModel`` of the model, or another copy of it.
    model : torch.nn.Module
        That a pruner prunes, with final masks.

    Returns
    -------
    int
        How many weights were not zero before.

    Raises
    ------
    UserError
        If the model is not pruned, its masks are not final, or the average is
        of another model.

    Example
    -------
    >>> from functools import partial
    >>> from leanbrain.pruning.pruner import AdaptivePruner
    >>> from leanbrain.pruning.schedules import constant
    >>> model = torch.nn.Linear(4, 4)
    >>> average = AveragedModel(model)
    >>> half = partial(constant, sparsity=0.5)
    >>> pruner = AdaptivePruner(half, 10, 1, update=None)
    >>> pruner.manage({"model": model})
    >>> pruner.start()
    >>> mask_average(average, model)
    8
    """
    averaged = dict(_named(average))
    managed = [(n, p, manager_of(p)) for n, p in _named(model)]
    managed = [(n, p, pruner) for n, p, pruner in managed if pruner is not None]
    if not managed:
        raise UserError(
            "`model` must have a pruner, got a "
            f"{type(_inner(model)).__name__} without pruned parameters."
        )
    for name, parameter, pruner in managed:
        if not pruner.frozen:
            raise UserError(
                "Masks must be final for an average to be masked by them, got "
                f"those of step {pruner.step:,}: they are from step "
                f"{pruner.plan.end_step:,} on."
            )
        if name not in averaged or averaged[name].shape != parameter.shape:
            raise UserError(
                "`average` must be of the pruned model, got one without "
                f"{name!r} of its shape {list(parameter.shape)}."
            )
    count = 0
    for name, parameter, pruner in managed:
        own = next(t.name for t in pruner.targets if t.parameter is parameter)
        removed = ~_kept(pruner.masks, own).to(averaged[name].device)
        count += int(averaged[name][removed].count_nonzero())
        averaged[name].masked_fill_(removed, 0)
    return count


def say_averages(
    pruner: AdaptivePruner, known: Container[Any] = ()
) -> list[Any]:
    """Warns of averages of pruned weights that are denser than the model.

    Arguments
    ---------
    pruner : AdaptivePruner
        With masks.
    known : container
        Averages that are passed over.

    Returns
    -------
    list
        The averages of which it warned.
    """
    # A script keeps an average wherever it likes to, seldom in the Brain.
    every = (x for x in gc.get_objects() if issubclass(type(x), AveragedModel))
    found = [x for x in every if x not in known and x.n_averaged > 0]
    told = []
    for average in found:
        stray = _stray(average, pruner)
        if stray:
            told.append(average)
            logger.warning(
                "An AveragedModel of %s holds %d weights that are zero in the "
                "model, as masks changed since it began: begin it when the "
                "masks are final, from step %d on, or call "
                "`leanbrain.pruning.mask_average` before you use or save it.",
                type(_inner(average)).__name__,
                stray,
                pruner.plan.end_step,
            )
    return told


@torch.no_grad()
def _stray(average: AveragedModel, pruner: AdaptivePruner) -> int:
    """How many of its weights no pathway keeps."""
    count = 0
    for name, weight in _pairs(average, pruner):
        kept = _kept(pruner.masks, name).to(weight.device)
        count += int(weight[~kept].count_nonzero())
    return count


def _pairs(average: AveragedModel, pruner: AdaptivePruner) -> Iterator[Pair]:
    """Names of targets, with what their weights are in an average.

    The average may be of a part of what is pruned, whose names are shorter,
    and those of several parts may be the same.
    """
    own = dict(_named(average))
    best: dict[str, tuple[float, str]] = {}
    for target in pruner.targets:
        parts = target.name.split(".")
        for i in range(len(parts)):
            name = ".".join(parts[i:])
            if name in own and own[name].shape == target.parameter.shape:
                alike = _cosine(own[name], target.parameter)
                best[name] = max(
                    best.get(name, (_ALIKE, "")), (alike, target.name)
                )
                break
    for name, (_, target_name) in best.items():
        if target_name:
            yield target_name, own[name]


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """How alike two tensors are, from -1 to 1."""
    flat = one.detach().flatten().float()
    other = other.detach().flatten().to(flat)
    return float(torch.nn.functional.cosine_similarity(flat, other, dim=0))


def _kept(masks: MaskSet, name: str) -> torch.Tensor:
    """What any pathway keeps of a parameter."""
    return torch.stack([masks.get(p, name) for p in masks.pathways]).any(0)


def _named(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and parameters, of tied ones all names."""
    return _inner(module).named_parameters(remove_duplicate=False)


def _inner(module: torch.nn.Module) -> torch.nn.Module:
    """A module without what averages, compiles or shares it out."""
    wraps = (AveragedModel, DataParallel, DistributedDataParallel)
    while True:
        compiled = getattr(module, "_orig_mod", None)
        if isinstance(module, wraps):
            module = module.module
        elif isinstance(compiled, torch.nn.Module):
            module = compiled
        else:
            return module
