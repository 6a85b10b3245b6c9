"""From scores to the new masks of a pathway, and what revived weights get."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, unpack
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation import apportion
from leanbrain.pruning.gathering import Gathering
from leanbrain.pruning.initial import check_masks
from leanbrain.pruning.regrowth import reset_moments
from leanbrain.pruning.updates import prune_only, reselect

__all__ = ["MaskSelector"]

Rule = Callable[..., torch.Tensor]
Initial = Callable[[str, Sequence[Target]], Mapping[str, torch.Tensor]]


class MaskSelector:
    """Computes and sets masks; knows scores and rules, not when they apply.

    Arguments
    ---------
    targets, masks, switch
        The managed parameters, their masks and their values.
    update : callable or None
        Rule of the updates after the first, see ``updates``.
    scores : Gathering
        What is worth keeping, worth reviving, and worth keeping at first.
    allocation : callable
        (saliency, sparsity) -> keep-count per parameter. One that has a
        parameter `growth` is given `growth`, the scores of what is not active
        (active entries at -1; None if nothing grows), `active`, the counts
        at present (None for first masks), and `progress` too.
    train_dormant : bool
        Whether masked weights learn: then they compete in the allocation.
    initial : callable or None
        (pathway, targets) -> its first masks, in place of a score.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        masks: MaskSet,
        switch: PathwaySwitch,
        update: Rule | None,
        scores: Gathering,
        allocation: Callable[..., dict[str, int]],
        train_dormant: bool,
        initial: Initial | None = None,
    ) -> None:
        self.targets, self.masks, self.switch = targets, masks, switch
        self.update = update
        self.scores = scores
        self.allocation = allocation
        self.train_dormant = train_dormant
        self.initial = initial
        self._told_growth = _has_parameter(allocation, "growth")

    def renew(
        self,
        pathway: str,
        sparsity: float,
        progress: float,
        first: bool = False,
        final: bool = False,
    ) -> None:
        """Sets the next masks of a pathway and forgets what led to them.

        Arguments
        ---------
        pathway : str
            Which one.
        sparsity : float
            The share of its weights that is removed then.
        progress : float
            Share of the pruning phase that is over.
        first : bool
            Whether it has no masks yet.
        final : bool
            Whether they are its last.
        """
        self.scores.reduce(first, pathway)
        if first:
            self.first(pathway, sparsity)
        elif final:
            self.finish(pathway, sparsity)
        else:
            self.adapt(pathway, sparsity, progress)
        self.scores.reset(pathway)

    def first(self, pathway: str, sparsity: float) -> None:
        """The first masks: those given, or the best by the first saliency."""
        if self.initial is None:
            score = self.scores.first_saliency
            self._apply(pathway, score, sparsity, 0.0, reselect, first=True)
            return
        masks = self.initial(pathway, self.targets)
        check_masks(pathway, masks, self.targets, sparsity)
        for target in self.targets:
            self.masks.set(pathway, target.name, masks[target.name])

    def adapt(self, pathway: str, sparsity: float, progress: float) -> None:
        """An update by the rule; without gradients seen, pruning alone."""
        blind = self.scores.blind(pathway)
        rule = prune_only if blind or self.update is None else self.update
        score = self.scores.saliency
        self._apply(pathway, score, sparsity, progress, rule)

    def finish(self, pathway: str, sparsity: float) -> None:
        """The last masks: the best of the active weights."""
        score = self.scores.saliency
        self._apply(pathway, score, sparsity, 1.0, prune_only)

    def _apply(
        self,
        pathway: str,
        score: Any,
        sparsity: float,
        progress: float,
        rule: Rule,
        first: bool = False,
    ) -> None:
        plain = getattr(rule, "func", rule)  # YAML gives partials
        only_active = plain is prune_only or not (
            self.train_dormant or plain is reselect
        )
        grows = rule is self.update and self.scores.growth is not None
        told: dict[str, Any] = {}
        if self._told_growth:
            fresh = _Scores(self, self.scores.growth, pathway, False)
            told = {
                "growth": fresh if grows else None,
                "active": None if first else self._active(pathway),
                "progress": progress,
            }
        ranked = _Scores(self, score, pathway, True if only_active else None)
        keep = self.allocation(ranked, sparsity, **told)
        if plain is prune_only:
            keep = _within(keep, self._active(pathway))
        values = _Scores(self, score, pathway)
        growths = _Scores(self, self.scores.growth, pathway)
        for target in self.targets:
            name = target.name
            growth = growths[name] if grows else None
            old = self.masks.get(pathway, name)
            new = rule(old, values[name], growth, keep[name], progress)
            self.masks.set(pathway, name, new)
            kept = self.masks.count(pathway, [name])
            if kept != keep[name]:
                raise RuntimeError(
                    f"The mask of {name} must keep {keep[name]} weights, got "
                    f"{kept}."
                )

    def _active(self, pathway: str) -> dict[str, int]:
        """How many weights of each parameter a pathway keeps now."""
        names = [target.name for target in self.targets]
        return {name: self.masks.count(pathway, [name]) for name in names}

    @torch.no_grad()
    def revive(
        self,
        union_before: dict[str, torch.Tensor],
        owners: Mapping[str, torch.optim.Optimizer],
        keep_dormant: bool,
    ) -> None:
        """Prepares weights that no pathway used before an update.

        Arguments
        ---------
        union_before : dict
            Packed union of all pathways before the update.
        owners : mapping
            Parameter name -> the optimizer that holds it.
        keep_dormant : bool
            False sets revived weights to zero.
        """
        union_after = self.masks.union()
        for target in self.targets:
            name, shape = target.name, target.parameter.shape
            old, new = union_before[name], union_after[name]
            fresh = new & ~old
            if not count_bits(fresh):
                continue
            revived = unpack(fresh, shape)
            if not keep_dormant:
                self.switch.set_values(name, revived, 0.0)
            if name in owners:
                reset_moments(
                    owners[name],
                    target.parameter,
                    revived,
                    unpack(new & old, shape),
                )


def _within(keep: dict[str, int], active: dict[str, int]) -> dict[str, int]:
    """Keep-counts of the same total that no parameter's active ones exceed.

    Shares by largest remainder are not monotone: a parameter's count may rise
    by one although the total falls.
    """
    high = [active[name] for name in keep]
    total, low = sum(keep.values()), [0] * len(keep)
    parts = apportion(total, list(keep.values()), low, high)
    return dict(zip(keep, parts, strict=True))


class _Scores(Mapping[str, torch.Tensor]):
    """Scores computed when asked for: never all of them in memory.

    With `active` only entries that are active (True) or are not (False) keep
    their score, the others are at -1.
    """

    def __init__(
        self,
        selector: MaskSelector,
        score: Any,
        pathway: str,
        active: bool | None = None,
    ) -> None:
        self.selector, self.score = selector, score
        self.pathway, self.active = pathway, active
        self.names = [t.name for t in selector.targets]

    def __getitem__(self, name: str) -> torch.Tensor:
        theta = self.selector.switch.dense(name)
        score = self.selector.scores.usable(self.score, self.pathway, name)
        value: torch.Tensor = score.value(self.pathway, name, theta)
        if self.active is None:
            return value
        hidden = self.selector.masks.get(self.pathway, name)
        if self.active:
            hidden.logical_not_()
        return value.masked_fill(hidden, -1.0)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    try:
        return name in inspect.signature(function).parameters
    except ValueError:  # some built-in functions have no signature
        return False
