"""AdamW with Nesterov momentum, by the formula that AlgoPerf uses."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch

from leanbrain.checks import UserError, check_fraction
from leanbrain.optbench.optimizers.closures import loss_of

__all__ = ["NAdamW"]


class NAdamW(torch.optim.Optimizer):
    """AdamW that looks one step of momentum ahead.

    With gradient g, first moment m and second moment v of AdamW, the
    numerator is beta1 * m + (1 - beta1) * g in place of m; bias corrections
    and decoupled decay stay those of AdamW. torch.optim.NAdam differs: it
    anneals its momentum and corrects by the product of all momenta so far.

    Not supported: sparse and complex parameters.

    Arguments
    ---------
    params : iterable
        Parameters or groups of them.
    lr : float
        Learning rate, at least 0.
    betas : tuple of two floats
        Decay rates of the moments, each in [0, 1).
    eps : float
        Added to the root of the second moment against division by zero.
    weight_decay : float
        Decoupled decay per step, in units of the learning rate.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    arXiv 1910.05446, table 1 (NAdam); decay as in arXiv 1711.05101.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = NAdamW([weight], lr=0.1, weight_decay=0.0)
    >>> weight.sum().backward()
    >>> _ = optimizer.step()
    >>> [round(x, 4) for x in weight.tolist()]  # 1 - lr * (1 + beta1)
    [0.81, 0.81]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        for name, value in (
            ("lr", lr),
            ("eps", eps),
            ("weight_decay", weight_decay),
        ):
            check_fraction(name, value, high=math.inf, high_open=True)
        beta1, beta2 = betas
        check_fraction("betas[0]", beta1, high_open=True)
        check_fraction("betas[1]", beta2, high_open=True)
        defaults = {
            "lr": lr,
            "betas": (beta1, beta2),
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

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
        """
        loss = loss_of(closure)
        for group in self.param_groups:
            for bundle in self._bundles(group["params"]).values():
                self._update(bundle, group)
        return loss

    def _bundles(
        self, params: list[torch.Tensor]
    ) -> dict[Any, list[torch.Tensor]]:
        """Sorts the parameters that have a gradient; counts their steps.

        One bundle is updated by one set of calls: the same device, type and
        number of steps so far.
        """
        bundles: dict[Any, list[torch.Tensor]] = defaultdict(list)
        for p in params:
            if p.grad is None:
                continue
            if p.grad.is_sparse or torch.is_complex(p):
                raise UserError(
                    "NAdamW must have dense, real parameters and gradients, "
                    f"got {p.grad.layout} of {p.dtype}."
                )
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
            state["step"] += 1
            bundles[(p.device, p.dtype, state["step"])].append(p)
        return bundles

    def _update(
        self, params: list[torch.Tensor], group: dict[str, Any]
    ) -> None:
        """Updates one bundle in place."""
        beta1, beta2 = group["betas"]
        lr = group["lr"]
        grads = [p.grad for p in params if p.grad is not None]
        first = [self.state[p]["exp_avg"] for p in params]
        second = [self.state[p]["exp_avg_sq"] for p in params]
        step = self.state[params[0]]["step"]

        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_lerp_(first, grads, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, grads, grads, 1 - beta2)
        ahead = torch._foreach_lerp(first, grads, 1 - beta1)
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, math.sqrt(1 - beta2**step))
        torch._foreach_add_(scale, group["eps"])
        torch._foreach_addcdiv_(params, ahead, scale, -lr / (1 - beta1**step))
