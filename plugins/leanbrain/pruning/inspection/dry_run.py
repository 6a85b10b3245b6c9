"""What of a model can be pruned, and what a method would do: no training."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from torch import Tensor, nn

from leanbrain.masking.blend import Blender
from leanbrain.masking.packing import packed_size
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation.shares import keep_total
from leanbrain.pruning.initial import check_masks
from leanbrain.pruning.scores.lazy import LazyScores
from leanbrain.pruning.stepping import Probe

if TYPE_CHECKING:
    from leanbrain.pruning.pruner import AdaptivePruner

__all__ = ["DryRun", "MaskUpdate", "dry_run"]


@dataclass(frozen=True)
class MaskUpdate:
    """Masks that change.

    Arguments
    ---------
    step : int
        After that many optimizer steps.
    pathways : tuple
        Whose masks.
    sparsity : float
        The removed share of the targets' weights from then on, in [0, 1).
    """

    step: int
    pathways: tuple[str, ...]
    sparsity: float


@dataclass(frozen=True)
class DryRun:
    """What a pruner would do to a model.

    Arguments
    ---------
    total_steps : int
        Optimizer steps of the run.
    begin_step, end_step : int
        Before the one all is dense, from the other on masks stay.
    pathways : tuple
        Names of the sub-networks.
    updates : tuple of MaskUpdate
        In order; if every pathway is seen in time.
    weights : int
        Of all targets.
    kept : int
        Of them, by each pathway in the end.
    keep : dict or None
        Target -> weights that each pathway keeps in the end. The total is
        exact; a target may get one more or less where pruned weights do not
        return. None if the counts do not follow from the shapes.
    keep_by : str
        What decides on the counts: "allocation", "score" or "given masks".
    mask_bytes : int
        A bit per weight and pathway, and one for the union of pathways.
    dense_bytes : int
        The copy of the targets that holds the values of removed weights.
    score_bytes : int or None
        What scores learn, before masks are final, at most; None if one of
        them does not tell.
    other_bytes : int
        The model to rewind to, what is compared to see that weights move as
        they should, and scratch.
    """

    total_steps: int
    begin_step: int
    end_step: int
    pathways: tuple[str, ...]
    updates: tuple[MaskUpdate, ...]
    weights: int
    kept: int
    keep: dict[str, int] | None
    keep_by: str
    mask_bytes: int
    dense_bytes: int
    score_bytes: int | None
    other_bytes: int

    @property
    def bytes(self) -> int | None:
        """All of it, while masks are found; None if a score does not tell."""
        if self.score_bytes is None:
            return None
        known = self.mask_bytes + self.dense_bytes + self.other_bytes
        return known + self.score_bytes


def dry_run(
    pruner: AdaptivePruner,
    targets: Sequence[Target],
    modules: nn.Module | Mapping[str, nn.Module] | None = None,
) -> DryRun:
    """Goes through a run by the pruner's own plan, turns and allocation.

    Arguments
    ---------
    pruner : AdaptivePruner
        Not attached; it is left as it is.
    targets : sequence of Target
        What it would prune; only shapes and types are looked at.
    modules : nn.Module or mapping of them, optional
        All of the model, for what a method keeps of it; default: the targets.

    Returns
    -------
    DryRun

    Raises
    ------
    UserError
        If the allocation does not go with the targets, or the masks that the
        method begins with do not.
    """
    updates = tuple(_updates(pruner))
    _check_given(pruner, targets, updates[0].sparsity)
    keep, by = _keep(pruner, targets, updates)
    sizes = [t.parameter.numel() for t in targets]
    sparsity = updates[-1].sparsity
    return DryRun(
        total_steps=pruner.plan.total_steps,
        begin_step=pruner.plan.begin_step,
        end_step=pruner.plan.end_step,
        pathways=tuple(pruner.pathways),
        updates=updates,
        weights=sum(sizes),
        kept=keep_total(sum(sizes), sparsity),
        keep=keep,
        keep_by=by,
        mask_bytes=sum(map(packed_size, sizes)) * (len(pruner.pathways) + 1),
        dense_bytes=sum(_bytes(t.parameter) for t in targets),
        score_bytes=pruner.scores.holds(
            sizes, len(pruner.pathways), len(pruner.turns.gathering())
        ),
        other_bytes=_other_bytes(pruner, targets, modules),
    )


def _other_bytes(
    pruner: AdaptivePruner,
    targets: Sequence[Target],
    modules: nn.Module | Mapping[str, nn.Module] | None,
) -> int:
    """The model to rewind to, and the scratch in which masks are applied."""
    largest = max((t.parameter for t in targets), key=_bytes)
    scratch = Probe.holds(targets) + Blender.holds(
        largest.numel(), largest.element_size()
    )
    if pruner.rewind is None:
        return scratch
    roots = modules.values() if isinstance(modules, Mapping) else [modules]
    held = {
        id(tensor): tensor
        for root in roots
        if root is not None
        for tensor in (*root.parameters(), *root.buffers())
    } or {id(t.parameter): t.parameter for t in targets}
    return scratch + sum(map(_bytes, held.values()))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _updates(pruner: AdaptivePruner) -> Iterator[MaskUpdate]:
    """Yields what the pruner's own life yields: see its `finish_step`."""
    plan, turns = pruner.plan, copy.deepcopy(pruner.turns)
    everyone = tuple(pruner.pathways)

    def update(step: int, due: tuple[str, ...], progress: float) -> MaskUpdate:
        """One update of the plan."""
        settled.update(due)
        return MaskUpdate(step, due, float(plan.schedule(progress)))

    settled: set[str] = set()
    turns.begin(plan.begin_step)
    # The first step is dense, to show what is to be pruned at all.
    first = max(plan.begin_step, 1)
    if not pruner.scores.tracked(first=True):
        yield update(first, everyone, plan.progress(plan.begin_step))
        if pruner.update is None:
            return
    # Every pathway is taken to be seen in time, so no turn lasts longer.
    while (
        step := max(turns.since + turns.interval, first + 1)
    ) < plan.end_step:
        due = turns.due(step, lambda _: turns.min_batches)
        yield update(step, due, plan.progress(step))
    if pruner.update is not None or settled != set(everyone):
        yield update(plan.end_step, everyone, 1.0)


def _check_given(
    pruner: AdaptivePruner, targets: Sequence[Target], sparsity: float
) -> None:
    """Looks at the masks that the method begins with, if there are some."""
    if pruner.initial is None:
        return
    for pathway in pruner.pathways:
        masks = pruner.initial(pathway, targets)
        check_masks(pathway, masks, targets, sparsity)


def _keep(
    pruner: AdaptivePruner,
    targets: Sequence[Target],
    updates: Sequence[MaskUpdate],
) -> tuple[dict[str, int] | None, str]:
    """Asks the allocation for the last counts, and says what decides them."""
    if pruner.initial is not None and len(updates) == 1:
        return None, "given masks"
    first = len(updates) == 1
    told: dict[str, Any] = {}
    if "growth" in inspect.signature(pruner.allocation).parameters:
        told = {
            "growth": None,  # the last masks do not grow
            "active": None if first else _Unknown(),
            "progress": 1.0,
        }
    saliency = LazyScores(targets, _ask)
    try:
        keep = pruner.allocation(saliency, updates[-1].sparsity, **told)
    except _NotBeforehand:
        return None, "score"
    return keep, "allocation"


class _NotBeforehand(Exception):
    """Something was asked for that only training brings about."""


class _Unknown(Mapping[str, int]):
    """Counts that nobody knows before the run."""

    def __getitem__(self, name: str) -> int:
        _ask(name)

    def __iter__(self) -> Iterator[str]:
        _ask("")

    def __len__(self) -> int:
        _ask("")


def _ask(name: str) -> NoReturn:
    raise _NotBeforehand(name)
