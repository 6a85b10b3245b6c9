"""Optimizer statistics of weights that have just become active."""

from __future__ import annotations

import torch

__all__ = ["reset_moments"]

# Signed averages by the names that optimizers give them: the sign tells them
# from second moments only if some entry happens to be negative.
SIGNED = {"exp_avg", "momentum_buffer", "grad_avg", "mu"}


@torch.no_grad()
def reset_moments(
    optimizer: torch.optim.Optimizer,
    parameter: torch.nn.Parameter,
    revived: torch.Tensor,
    active: torch.Tensor,
) -> int:
    """Gives revived weights the moments of a weight without a past.

    First moments and momentum become zero. Other statistics that are nowhere
    negative (second moments) become the mean over the active weights. With
    both at zero the first Adam update of a late arrival would be
    sqrt(1 - beta2) / (1 - beta1) of its usual size, 3.16 for 0.9 / 0.999,
    because the bias correction counts the steps of the whole tensor.

    Arguments
    ---------
    optimizer : torch.optim.Optimizer
        The owner of the parameter.
    parameter : torch.nn.Parameter
        Weights of any shape.
    revived : torch.Tensor
        Bool, shape of the parameter: active now, not before.
    active : torch.Tensor
        Bool, shape of the parameter: active before and now.

    Returns
    -------
    int
        How many statistics were changed; 0 for an optimizer without any.

    Example
    -------
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = torch.optim.Adam([weight])
    >>> weight.grad = torch.tensor([2.0, 0.0])
    >>> _ = optimizer.step()
    >>> reset_moments(
    ...     optimizer, weight, torch.tensor([False, True]),
    ...     torch.tensor([True, False]),
    ... )
    2
    >>> second = optimizer.state[weight]["exp_avg_sq"]
    >>> bool(second[0] == second[1])
    True
    """
    changed = 0
    for key, value in optimizer.state.get(parameter, {}).items():
        if not torch.is_tensor(value) or value.shape != parameter.shape:
            continue
        if not value.is_floating_point():
            continue
        fill = 0.0
        second = key not in SIGNED and bool((value >= 0).all())
        if second and active.any():
            fill = float(value[active].float().mean())
        value.masked_fill_(revived, fill)
        changed += 1
    return changed
