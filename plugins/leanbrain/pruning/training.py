"""Training with several pathways in one model: batches and optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.switch import REST, PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.batches import check_pathways, language_of
from leanbrain.pruning.flops.meter import CostMeter
from leanbrain.pruning.gates import GradientGate
from leanbrain.pruning.optimizers import around_step, moved_by, parts_of
from leanbrain.pruning.ranks import union_names
from leanbrain.pruning.stepping import Probe, Stepping
from leanbrain.pruning.targeting import TargetChoice

__all__ = ["PathwayTraining"]


class PathwayTraining(TargetChoice):
    """Runs each batch through its pathway and keeps inactive weights still.

    Knows nothing of when and how masks change: `AdaptivePruner` adds that.

    Arguments
    ---------
    pathways : sequence of str
        Names of the sub-networks.
    pathway_of : callable, optional
        Batch -> pathway. Default: the one value in ``batch.lang``; with a
        single pathway the batch is not looked at.
    train_dormant : bool
        True trains masked weights too (dense gradients), until masks freeze.
    train_weights : bool
        False leaves the target weights as they are; other parameters learn.
    include, exclude, groups
        See ``select_targets``.
    """

    def __init__(
        self,
        pathways: Sequence[str],
        pathway_of: Callable[[Any], str] | None,
        train_dormant: bool,
        train_weights: bool,
        include: Sequence[str],
        exclude: Sequence[str] | None,
        groups: Mapping[str, Sequence[str]] | None,
    ) -> None:
        self.pathways = check_pathways(pathways)
        self.pathway_of = pathway_of or language_of
        self.train_dormant = bool(train_dormant)
        self.train_weights = bool(train_weights)
        if self.train_dormant and not self.train_weights:
            raise UserError(
                "`train_dormant` must be False when `train_weights` is False, "
                "got True."
            )
        super().__init__(include, exclude, groups)
        self.loss_scale: Callable[[], float] = lambda: 1.0
        self.owners: dict[str, Any] = {}
        self.optimizers: list[Any] = []
        self.stepping = Stepping(
            self._show, self._take, self._reenter, self.begin_early
        )
        # How many fits and batches are at work, one within another.
        self.fits = self.batches = 0
        single = len(self.pathways) == 1
        self._pathway: str | None = self.pathways[0] if single else None
        self._window: set[str] = set()
        self._moving: list[str] = []  # by the step at work
        self.cost = CostMeter()
        self._dense_gradient = False
        self._densities: tuple[Any, dict[str, float]] = (None, {})

    # -- what a subclass decides --------------------------------------------

    def begin_early(self) -> bool:
        """Whether masks began with a closure's loss."""
        raise TypeError(f"{type(self).__name__} must define `begin_early`.")

    @property
    def started(self) -> bool:
        """Whether masks are at work."""
        raise TypeError(f"{type(self).__name__} must define `started`.")

    # Of the targets at present, from `take_over` on.
    masks: MaskSet
    switch: PathwaySwitch
    gate: GradientGate
    probe: Probe

    # Whether masks stay as they are: dormant weights then learn for nothing.
    frozen = False

    def observe(self, pathway: str, name: str, dense: torch.Tensor) -> None:
        """Sees every dense gradient before it is masked.

        Sets `_dense_gradient` if it makes use of it.
        """

    # -- connecting ---------------------------------------------------------

    def take_over(self, targets: Sequence[Target]) -> None:
        """Manages these parameters, dense ones, from now on."""
        if self.targets:
            self.gate.remove()
            self.probe.remove()
        self.targets = list(targets)
        names = {target.name for target in targets}
        self.owners = {n: o for n, o in self.owners.items() if n in names}
        self.masks = MaskSet.from_targets(self.targets, self.pathways)
        self.switch = PathwaySwitch(self.targets, self.masks)
        self.gate = GradientGate(
            self.targets,
            self.masks,
            pathway=lambda: self._pathway if self.started else None,
            observe=self.observe,
            blenders=self.switch.blenders,
            keep_dense=self._dormant_learn,
            freeze=not self.train_weights,
        )
        self.probe = Probe(self.targets, lambda: self.batches == 0)

    def watch(self, optimizer: Any) -> int:
        """Follows the steps of an optimizer; returns how many targets it owns.

        One that holds another (SAM, Lookahead) counts as one with it. Steps
        of those without targets are followed as well: they make a batch of
        training, while the pruned weights of a recipe with several optimizers
        may be held back.
        """
        for part in parts_of(optimizer):
            # The innermost has the moments of a weight.
            self.owners.update(dict.fromkeys(self._owned(part), part))
            if not any(part is known for known in self.optimizers):
                self.optimizers.append(part)
            around_step(part, self.stepping)
        return len(self._owned(optimizer))

    # -- the life of a batch ------------------------------------------------

    def enter(self, batch: Any, learns: bool = True) -> str:
        """Switches to the pathway of a batch; returns its name.

        Arguments
        ---------
        batch : Any
            What ``pathway_of`` understands.
        learns : bool
            Whether gradients of this batch will reach an optimizer step.

        Returns
        -------
        str
        """
        if len(self.pathways) == 1:
            pathway = self.pathways[0]
        else:
            named = self.pathway_of(batch)
            pathway = check_known("pathway", named, self.pathways)
        self._pathway = pathway
        if self.started:
            self.switch.enter(pathway)
            if learns:
                self._window.add(pathway)
        return pathway

    def leave(self) -> None:
        """Back to the resting state: the union of all pathways."""
        if self.started:
            self.switch.leave()
        if len(self.pathways) > 1:
            self._pathway = None

    def rest(self) -> None:
        """Re-establishes the resting state, whatever was loaded meanwhile."""
        self.forget_window()
        self.probe.forget()
        if self.started:
            self.switch.refresh()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """The resting state for a while, such as to save, then as before.

        Not between a forward and its backward pass, if pathways are several.
        """
        before = self.switch.state if self.started else REST
        if self.started:
            self.switch.leave()
        yield
        if before != REST:
            self.switch.enter(before)

    def forget_window(self) -> None:
        """Gradients were zeroed: no pathway has contributed any more."""
        self._window.clear()

    @property
    def pathway(self) -> str | None:
        """The pathway of the batch at work, if there is one."""
        return self._pathway

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Puts the batch at work aside while a fit within it runs."""
        pathway, window = self._pathway, set(self._window)
        if self.batches and self.started:
            self.switch.leave()
        try:
            yield
        finally:
            self._pathway, self._window = pathway, window
            if self.batches and self.started:
                self._reenter()

    # -- optimizer steps ----------------------------------------------------

    def _show(self, optimizer: Any) -> None:
        # Norm-based optimizers must see the weights that they move. Those of
        # another optimizer stay: a graph may be open that needs them.
        self._moving = self._owned(optimizer)
        self.probe.forget(self._moving)
        if self.trial is not None:
            self.trial.note()
        if not self.started:
            if not self.train_weights:
                self.switch.adopt()
                self.switch.expose(self._moving)
        elif self._moving:
            self._refuse_another_step()
            every = len(self._moving) == len(self.targets)
            self.switch.expose(None if every else self._moving)

    def _take(self) -> None:
        if not self.started and not self.train_weights:
            self.switch.commit(())
        if not self.started or not self._moving:
            return
        single = len(self.pathways) == 1  # may work without `enter`
        window = set(self.pathways) if single else self._window
        names = union_names(window, self.pathways, self.device)
        if not names:
            raise UserError(
                "With several pathways a batch must make one optimizer "
                "step, got another one without a pathway's gradients."
            )
        self.switch.commit(self._learning(names))
        self._measure(names)

    def _refuse_another_step(self) -> None:
        # The first went to rest, which is no pathway if there are several:
        # what was computed since then was of the union.
        several = len(self.pathways) > 1 and self.batches
        if several and self.switch.state == REST:
            raise UserError(
                "With several pathways a batch must make one optimizer step, "
                "got another one."
            )

    def _reenter(self) -> None:
        """Shows the pathway of the batch at work once more."""
        if self.started and self._pathway is not None:
            self.switch.enter(self._pathway)

    def _owned(self, optimizer: Any) -> list[str]:
        """The targets that an optimizer moves."""
        owned = moved_by([optimizer])
        return [t.name for t in self.targets if id(t.parameter) in owned]

    def _learning(self, window: Iterable[str]) -> Iterable[str] | None:
        """The pathways whose weights a step may move; None for all weights."""
        if self._dormant_learn():
            return None
        return window if self.train_weights else ()

    def _dormant_learn(self) -> bool:
        """Whether masked weights learn at present."""
        return self.train_dormant and not self.frozen

    def take_step(self) -> bool:
        """Closes the window; whether an optimizer has stepped since last asked.

        Parameters are at rest afterwards if it did.
        """
        self.forget_window()
        stepped, self.stepping.done = self.stepping.done, False
        if stepped and self.started and self.switch.state != REST:
            self.switch.leave()  # one of several optimizers has stepped
        if stepped:
            self.probe.forget()
            _, density = self._densities
            dense = self._dense_gradient or self._dormant_learn()
            self.cost.on_step(density, dense, learns=self.train_weights)
        self._dense_gradient = False
        return stepped

    def _measure(self, window: set[str]) -> None:
        """Notes the mean density of each parameter in a step's pathways."""
        key = (self.masks.version, frozenset(window))
        if key == self._densities[0]:
            return
        self._densities = (
            key,
            {
                name: sum(self.masks.density(p, [name]) for p in window)
                / len(window)
                for name in self.masks.shapes
            },
        )

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.targets[0].parameter.device
