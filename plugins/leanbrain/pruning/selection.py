"""From scores to the new masks of a pathway, and what revived weights get."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from leanbrain.checks import UserError
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.packing import count_bits, unpack
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation.shares import apportion
from leanbrain.pruning.initial import check_masks
from leanbrain.pruning.scores.gathering import Gathering
from leanbrain.pruning.scores.lazy import LazyScores
from leanbrain.pruning.updates.booleans import count_true
from leanbrain.pruning.updates.regrowth import reset_moments
from leanbrain.pruning.updates.rules import prune_only, reselect

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
        (active entries at -1, unseen parameters left out; None if nothing
        grows), `active`, the counts at present (None for first masks), and
        `progress` too.
    train_dormant : bool
        Whether masked weights learn: then they compete in the allocation.
    initial : callable or None
        (pathway, targets) -> its first masks, in place of a score.

    Raises
    ------
    UserError
        If the allocation compares scores that do not compare.
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
        if getattr(scores.saliency, "within_tensors", False):
            self._check_allocation()

    @property
    def only_prunes(self) -> bool:
        """Whether updates take weights away and bring none back."""
        return _is(self.update or prune_only, prune_only)

    def _check_allocation(self) -> None:
        """Refuses one that compares scores which rank each tensor by itself."""
        kind = type(self.scores.saliency).__name__

        def compute(name: str) -> torch.Tensor:
            """Refuses to be asked."""
            raise UserError(
                "`allocation` must not compare the scores of parameters where "
                f"the saliency is a {kind}, which ranks each by itself "
                "(per_layer, erk and per_group do not), got one that asks for "
                f"those of {name}."
            )

        told: dict[str, Any] = {}
        if self._told_growth:
            counts = {t.name: t.parameter.numel() for t in self.targets}
            told = {"growth": None, "active": counts, "progress": 0.0}
        self.allocation(LazyScores(self.targets, compute), 0.0, **told)

    def renew(
        self,
        pathway: str,
        sparsity: float,
        progress: float,
        first: bool = False,
        final: bool = False,
    ) -> None:
        """Sets the next masks of a pathway and forgets what led to them.

        Ranks have met before, so that all find the same.

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
        if first:
            self.first(pathway, sparsity)
        else:
            self.adapt(pathway, sparsity, progress, final)
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

    def adapt(
        self,
        pathway: str,
        sparsity: float,
        progress: float,
        final: bool = False,
    ) -> None:
        """An update by the rule; the last masks grow no more.

        Without the gradients that the rule needs, it is pruning alone.
        """
        rule = self.update or prune_only
        if _is(rule, reselect):
            # Magnitudes in the score's place would make all masks the same.
            usable = self.scores.informed(pathway, self.masks.shapes)
        else:
            usable = not (final or self.scores.blind(pathway))
        score = self.scores.saliency
        rule = rule if usable else prune_only
        self._apply(pathway, score, sparsity, progress, rule)

    def _apply(
        self,
        pathway: str,
        score: Any,
        sparsity: float,
        progress: float,
        rule: Rule,
        first: bool = False,
    ) -> None:
        prunes = _is(rule, prune_only)
        only_active = prunes or not (self.train_dormant or _is(rule, reselect))
        grows = rule is self.update and self.scores.growth is not None
        told: dict[str, Any] = {}
        if self._told_growth:
            fresh = self._scores(self.scores.growth, pathway, False, seen=True)
            told = {
                "growth": fresh if grows else None,
                "active": None if first else self._active(pathway),
                "progress": progress,
            }
        ranked = self._scores(score, pathway, True if only_active else None)
        keep = self.allocation(ranked, sparsity, **told)
        if prunes:
            keep = _within(keep, self._active(pathway))
        # Those of the allocation, unless it saw some of the weights only.
        values = self._scores(score, pathway) if only_active else ranked
        growths = self._scores(self.scores.growth, pathway)
        for target in self.targets:
            name = target.name
            growth = growths.take(name) if grows else None
            old = self.masks.get(pathway, name)
            new = rule(old, values.take(name), growth, keep[name], progress)
            self.masks.set(pathway, name, new)
            kept = count_true(new)
            if kept != keep[name]:
                raise RuntimeError(
                    f"The mask of {name} must keep {keep[name]} weights, got "
                    f"{kept}."
                )

    def _scores(
        self,
        score: Any,
        pathway: str,
        active: bool | None = None,
        seen: bool = False,
    ) -> LazyScores:
        """A pathway's scores; dense weights are what they are of.

        With `active` only entries that are active (True) or are not (False)
        keep their score, the others are at -1. With `seen`, parameters whose
        gradients the score needs and did not see are left out: magnitudes in
        their place would not compare with the others' scores.
        """
        targets = [
            target
            for target in self.targets
            if not seen or self.scores.informed_of(score, pathway, target.name)
        ]

        def compute(name: str) -> torch.Tensor:
            """The scores of one parameter."""
            theta = self.switch.dense(name, settled=True)
            usable = self.scores.usable(score, pathway, name)
            value: torch.Tensor = usable.value(pathway, name, theta)
            if active is None:
                return value
            hidden = self.masks.get(pathway, name)
            if active:
                hidden.logical_not_()
            return value.masked_fill(hidden, -1.0)

        return LazyScores(targets, compute)

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
        # Weights that learned behind the masks have moments that are right.
        strangers = {} if self.train_dormant and keep_dormant else owners
        for target in self.targets:
            name, shape = target.name, target.parameter.shape
            old, new = union_before[name], union_after[name]
            fresh = new & ~old
            if not count_bits(fresh):
                continue
            revived = unpack(fresh, shape)
            if not keep_dormant:
                self.switch.set_values(name, revived, 0.0)
            if name in strangers:
                reset_moments(
                    strangers[name],
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


def _is(rule: Rule, known: Rule) -> bool:
    """Whether a rule is a known one: YAML gives partials."""
    return getattr(rule, "func", rule) is known


def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument of this name."""
    try:
        return name in inspect.signature(function).parameters
    except ValueError:  # some built-in functions have no signature
        return False
