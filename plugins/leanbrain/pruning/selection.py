"""From scores to the new masks of a pathway, and what revived weights get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, unpack
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.gathering import Gathering
from leanbrain.pruning.regrowth import reset_moments
from leanbrain.pruning.scores import Magnitude
from leanbrain.pruning.tracking import TrackedScore
from leanbrain.pruning.updates import prune_only, reselect

__all__ = ["MaskSelector"]

Rule = Callable[..., torch.Tensor]


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
        (saliency, sparsity) -> keep-count per parameter.
    train_dormant : bool
        Whether masked weights learn: then they compete in the allocation.
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
    ) -> None:
        self.targets, self.masks, self.switch = targets, masks, switch
        self.update = update
        self.scores = scores
        self.allocation = allocation
        self.train_dormant = train_dormant

    def first(self, pathway: str, sparsity: float) -> None:
        """The first masks: the best of all weights, by the first saliency."""
        score = self.scores.first_saliency
        self._apply(pathway, score, sparsity, 0.0, reselect)

    def adapt(self, pathway: str, sparsity: float, progress: float) -> None:
        """An update by the rule; without gradients seen, pruning alone."""
        blind = isinstance(
            self.scores.growth, TrackedScore
        ) and not self.scores.growth.seen(pathway)
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
    ) -> None:
        plain = getattr(rule, "func", rule)  # YAML gives partials
        only_active = plain is prune_only or not (
            self.train_dormant or plain is reselect
        )
        ranked = _Scores(self, score, pathway, only_active)
        keep = self.allocation(ranked, sparsity)
        values = _Scores(self, score, pathway, False)
        grows = rule is self.update and self.scores.growth is not None
        for target in self.targets:
            name = target.name
            theta = self.switch.dense(name)
            growth = (
                _usable(self.scores.growth, pathway, name).value(
                    pathway, name, theta
                )
                if grows
                else None
            )
            old = self.masks.get(pathway, name)
            new = rule(old, values[name], growth, keep[name], progress)
            self.masks.set(pathway, name, new)
            kept = self.masks.count(pathway, [name])
            if kept != keep[name]:
                raise RuntimeError(
                    f"The mask of {name} must keep {keep[name]} weights, got "
                    f"{kept}."
                )

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


def _usable(score: Any, pathway: str, name: str) -> Any:
    """A gradient score that saw nothing of a weight gives way to magnitude.

    Layer drop and branches of a single language leave gradients out.
    """
    if isinstance(score, TrackedScore) and not score.knows(pathway, name):
        return Magnitude()
    return score


class _Scores(Mapping[str, torch.Tensor]):
    """Scores computed when asked for: never all of them in memory."""

    def __init__(
        self, selector: MaskSelector, score: Any, pathway: str, active: bool
    ) -> None:
        self.selector, self.score = selector, score
        self.pathway, self.active = pathway, active
        self.names = [t.name for t in selector.targets]

    def __getitem__(self, name: str) -> torch.Tensor:
        theta = self.selector.switch.dense(name)
        score = _usable(self.score, self.pathway, name)
        value: torch.Tensor = score.value(self.pathway, name, theta)
        if self.active:
            kept = self.selector.masks.get(self.pathway, name)
            value = value.masked_fill(kept.logical_not_(), -1.0)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
