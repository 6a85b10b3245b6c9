"""Training with several pathways in one model: batches and optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from leanbrain.checks import UserError, check_known
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.switch import REST, PathwaySwitch
from leanbrain.masking.targets import select_targets
from leanbrain.pruning.batches import check_pathways, language_of
from leanbrain.pruning.flops.meter import CostMeter
from leanbrain.pruning.gates import GradientGate
from leanbrain.pruning.ranks import union_names

__all__ = ["PathwayTraining"]


class PathwayTraining:
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
        self.include, self.exclude, self.groups = include, exclude, groups
        self.loss_scale: Callable[[], float] = lambda: 1.0
        self.owners: dict[str, torch.optim.Optimizer] = {}
        self.optimizers: list[torch.optim.Optimizer] = []
        single = len(self.pathways) == 1
        self._pathway: str | None = self.pathways[0] if single else None
        self._window: set[str] = set()
        self._stepped = False
        self.cost = CostMeter()
        self._dense_gradient = False
        self._densities: tuple[Any, dict[str, float]] = (None, {})

    # -- what a subclass decides --------------------------------------------

    @property
    def started(self) -> bool:
        """Whether masks are at work."""
        raise TypeError(f"{type(self).__name__} must define `started`.")

    # Whether masks stay as they are: dormant weights then learn for nothing.
    frozen = False

    def observe(self, pathway: str, name: str, dense: torch.Tensor) -> None:
        """Sees every dense gradient before it is masked.

        Sets `_dense_gradient` if it makes use of it.
        """

    # -- connecting ---------------------------------------------------------

    def manage(
        self, modules: torch.nn.Module | Mapping[str, torch.nn.Module]
    ) -> None:
        """Chooses the parameters and takes them over, still dense.

        Arguments
        ---------
        modules : torch.nn.Module or mapping of them
            As for ``select_targets``.

        Raises
        ------
        UserError
            At a second call, or if a pattern matches nothing.
        """
        if hasattr(self, "targets"):
            raise UserError(
                "`attach` must be called once per pruner, got a second call."
            )
        self.targets = select_targets(
            modules, self.include, self.exclude, self.groups
        )
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

    def watch(self, optimizer: torch.optim.Optimizer) -> int:
        """Registers the step hooks; returns how many targets it owns."""
        names = self._owned(optimizer)
        self.optimizers.append(optimizer)
        if names:
            self.owners.update(dict.fromkeys(names, optimizer))
            optimizer.register_step_pre_hook(self._before_step)
            optimizer.register_step_post_hook(self._after_step)
        return len(names)

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
        if self.started:
            self.switch.refresh()

    def forget_window(self) -> None:
        """Gradients were zeroed: no pathway has contributed any more."""
        self._window.clear()

    @property
    def pathway(self) -> str | None:
        """The pathway of the batch at work, if there is one."""
        return self._pathway

    # -- optimizer steps ----------------------------------------------------

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        # Norm-based optimizers must see the weights that they move. Those of
        # another optimizer stay: a graph may be open that needs them.
        if self.started:
            names = self._owned(optimizer)
            every = len(names) == len(self.targets)
            self.switch.expose(None if every else names)

    def _after_step(self, optimizer: Any, *_: Any) -> None:
        if self.started:
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
        if _really_stepped(optimizer):
            self._stepped = True

    def _owned(self, optimizer: torch.optim.Optimizer) -> list[str]:
        """The targets that an optimizer moves."""
        owned = {id(p) for g in optimizer.param_groups for p in g["params"]}
        return [t.name for t in self.targets if id(t.parameter) in owned]

    def _learning(self, window: Iterable[str]) -> Iterable[str] | None:
        """The pathways whose weights a step may move; None for all weights."""
        if self._dormant_learn():
            return None
        return window if self.train_weights else ()

    def _dormant_learn(self) -> bool:
        """Whether masked weights learn at present."""
        return self.train_dormant and not self.frozen

    @property
    def stepped(self) -> bool:
        """Whether weights moved since `take_step` was last called."""
        return self._stepped

    def take_step(self) -> bool:
        """Closes the window; whether weights really moved since last asked.

        Parameters are at rest afterwards if they did.
        """
        self.forget_window()
        stepped, self._stepped = self._stepped, False
        if stepped and self.started and self.switch.state != REST:
            self.switch.leave()  # one of several optimizers has stepped
        if stepped:
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


def _really_stepped(optimizer: Any) -> bool:
    """Whether a step changed weights: fused AMP steps fire hooks regardless."""
    found_inf = getattr(optimizer, "found_inf", None)
    if found_inf is not None and float(found_inf) > 0:
        return False
    return any(
        parameter.grad is not None
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
