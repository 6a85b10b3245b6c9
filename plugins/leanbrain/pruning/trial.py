"""The first steps of a run, which show what is to be left dense."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from leanbrain.masking._walk import Modules
from leanbrain.masking.targets import Target
from leanbrain.masking.usage import LAST_LAYER, NO_PRODUCT, UsageWatch
from leanbrain.pruning.choice import NO_GRADIENT
from leanbrain.pruning.ranks import sum_over_ranks, union_names

__all__ = ["Trial"]


class Trial:
    """Looks which targets training reaches, and what they are used for.

    Ends with the first optimizer step, if every target had a gradient by then.
    Some models skip layers at random: a target is waited for `patience` steps,
    and as long as none at all had a gradient.

    Arguments
    ---------
    targets : sequence of Target
        What is to be pruned, as far as names and shapes tell.
    judges_use : bool
        Whether last layers and what is in no product are left out too.
    discriminators : collection of int
        `id` of parameters behind which a model does not go on.
    patience : int
        Optimizer steps after which what had no gradient is given up.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        judges_use: bool,
        discriminators: Collection[int] = (),
        patience: int = 20,
    ) -> None:
        self.targets = targets
        self.judges_use = judges_use
        self.discriminators = discriminators
        self.patience = patience
        self.steps = 0
        self.reached: set[str] = set()
        self._watch: UsageWatch | None = None
        self._use: dict[int, str] = {}

    def listen(self, modules: Modules) -> None:
        """Watches forward passes from now on, until the end."""
        if self.judges_use and self._watch is None:
            self._watch = UsageWatch(modules, self.discriminators)

    def note(self) -> None:
        """Takes down which targets have a gradient, before a step.

        Whichever optimizer steps: some recipes let one of several wait.
        """
        if self._watch is not None:
            self._use.update(self._watch.judge())
        self.reached.update(
            t.name for t in self.targets if t.parameter.grad is not None
        )

    def is_over(self, device: torch.device) -> bool:
        """Counts a step that was made; the same on all ranks."""
        self.steps += 1
        missing = len(self.targets) - len(self.reached)
        if sum_over_ranks(missing, device) == 0:
            return True
        # Adversarial training can begin with the other side for long.
        some = sum_over_ranks(len(self.reached), device) > 0
        return some and self.steps >= self.patience

    def left_out(self, device: torch.device) -> dict[str, str]:
        """What is to stay dense, and why; asked once, at the end.

        Arguments
        ---------
        device : torch.device
            Where ranks communicate.

        Returns
        -------
        dict
            Name of a target -> reason, the same on all ranks.
        """
        if self._watch is not None:
            self._use.update(self._watch.finish())
            self._watch = None
        names = [t.name for t in self.targets]
        reached = union_names(self.reached, names, device)
        use = {t.name: self._use.get(id(t.parameter)) for t in self.targets}
        last = {name for name, why in use.items() if why == LAST_LAYER}
        other = {
            name for name, why in use.items() if why not in (None, LAST_LAYER)
        }
        found = dict.fromkeys(set(names) - reached, NO_GRADIENT)
        for some, why in ((other, NO_PRODUCT), (last, LAST_LAYER)):
            for name in union_names(some, names, device):
                found.setdefault(name, why)
        # A model of one layer has nothing else to prune.
        if len(found) == len(names):
            found = {n: why for n, why in found.items() if why != LAST_LAYER}
        return {name: found[name] for name in names if name in found}

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far; the use of parameters is seen anew."""
        return {"steps": self.steps, "reached": sorted(self.reached)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken."""
        self.steps, self.reached = state["steps"], set(state["reached"])
