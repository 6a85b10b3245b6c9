"""Schedule-free AdamW that changes between its two sets of weights itself.

The optimizer holds the weights at which gradients are taken in training and
the averaged weights that are validated and saved; somebody has to exchange
them. A stock recipe does not. The training loop of SpeechBrain does tell the
optimizer where an epoch starts and ends, by how it clears the gradients:

- `zero_grad(set_to_none=False)` once before the first batch of an epoch;
- `zero_grad(set_to_none=True)` after each step, and once more after the last
  batch, before validation.

A loop that clears gradients in another order is noticed and refused, since
its validation would silently see the wrong weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import schedulefree
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.split import bare_step

__all__ = ["ScheduleFreeAdamW"]


class ScheduleFreeAdamW(schedulefree.AdamWScheduleFree):
    """schedulefree's AdamW for training loops that never heard of it.

    Whoever calls `train` or `eval` takes over: from then on nothing changes
    by itself. A checkpoint inside an epoch holds the training weights and
    says so, and continues exactly; those at an epoch's end hold the averaged
    weights. Batch normalisation keeps the statistics of the training weights.

    Arguments
    ---------
    *arguments : Any
        As for schedulefree.AdamWScheduleFree.
    **settings : Any
        As for schedulefree.AdamWScheduleFree.

    Reference
    ---------
    arXiv 2405.15682.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = ScheduleFreeAdamW([weight], lr=0.1)
    >>> optimizer.zero_grad(set_to_none=False)  # SpeechBrain: epoch starts
    >>> for _ in range(3):
    ...     (weight**2).sum().backward()
    ...     _ = optimizer.step()
    ...     optimizer.zero_grad(set_to_none=True)
    >>> optimizer.param_groups[0]["train_mode"]
    True
    >>> optimizer.zero_grad(set_to_none=True)  # epoch ends
    >>> optimizer.param_groups[0]["train_mode"]
    False
    """

    # Asks GradScaler to call `step` also where it would skip it, with
    # `found_inf` set: a skipped step must not look like the end of an epoch.
    _step_supports_amp_scaling = True

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._by_hand = False
        self._stepped = False
        self._ended = False
        super().__init__(*arguments, **settings)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Gives copies and unpickled optimizers the flags as well."""
        for flag in ("_by_hand", "_stepped", "_ended"):
            self.__dict__.setdefault(flag, False)
        super().__setstate__(state)

    def train(self) -> None:
        """Puts the training weights in place; from now on by hand."""
        self._by_hand = True
        super().train()

    def eval(self) -> None:
        """Puts the averaged weights in place; from now on by hand."""
        self._by_hand = True
        super().eval()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients and takes note of what that means.

        Arguments
        ---------
        set_to_none : bool
            Whether gradients become None; False starts an epoch.
        """
        super().zero_grad(set_to_none)
        after_step, self._stepped = self._stepped, False
        if self._by_hand or after_step:
            return
        self._ended = set_to_none
        if set_to_none:
            super().eval()
        else:
            super().train()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step.

        Arguments
        ---------
        closure : callable | None
            Computes loss and gradients anew; not needed.

        Returns
        -------
        float | None
            The loss, if there is a closure.

        Raises
        ------
        UserError
            If no epoch was started: the loop is not SpeechBrain's own.
        """
        self._stepped = True
        if not self.param_groups[0]["train_mode"] and not self._by_hand:
            self._begin_late()
        if getattr(self, "found_inf", None) is not None and self._skips():
            return None
        return bare_step(schedulefree.AdamWScheduleFree)(self, closure)

    def _begin_late(self) -> None:
        """Starts without a sign, where the two sets are still the same."""
        # So it is for an optimizer that the recipe freezes for a while.
        if self._ended or any(group["k"] for group in self.param_groups):
            raise UserError(
                "Schedule-free AdamW must be told where training starts and "
                "ends, got a training loop that clears gradients in another "
                "order than SpeechBrain's own; call `optimizer.train()` and "
                "`optimizer.eval()` there."
            )
        super().train()

    def _skips(self) -> bool:
        """Handles what GradScaler leaves to optimizers that ask for it."""
        found_inf: Any = getattr(self, "found_inf", None)
        if found_inf.item():
            return True
        scale: Any = getattr(self, "grad_scale", None)
        if scale is not None:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.grad.div_(scale.to(p.grad.device))
        return False
