"""Encoding through which gradients flow: multiplicative updates, unrolled.

Hershey, Le Roux and Weninger (arXiv 1409.2574) and Le Roux et al. (Deep NMF,
ICASSP 2015) train dictionaries through the iterations of the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from leanbrain.checks import check_int
from leanbrain.nmf.limited import on_threads
from leanbrain.nmf.losses import Loss
from leanbrain.nmf.problem import check_l1
from leanbrain.nmf.scaling import penalty_weights, power_of_two
from leanbrain.nmf.solvers import find_loss
from leanbrain.nmf.solvers.base import EPS

__all__ = ["encode_unrolled"]


def encode_unrolled(
    V: Tensor,
    W: Tensor,
    steps: int = 10,
    *,
    loss: str = "kl",
    start: Tensor | None = None,
    l1: float = 0.0,
) -> Tensor:
    """Makes `steps` multiplicative updates of H; differentiable.

    Started at a converged H, the gradient is that of the minimiser, cut off
    after `steps` terms of its Neumann series; started flat (None), it is that
    of a network of `steps` layers.

    Arguments
    ---------
    V : Tensor
        Frames as rows, [N, F], >= 0.
    W : Tensor
        Dictionary [F, K], > 0; gradients flow to it.
    steps : int
        Updates, >= 1; memory grows by two matrices of V's size a step.
    loss : str
        "kl", "frobenius" or "is".
    start : Tensor | None
        H to start from, [N, K].
    l1 : float
        Weight of sum(H), as of ``encode``: 0 with "kl".

    Returns
    -------
    Tensor
        H, [N, K].

    Raises
    ------
    UserError
        If the loss is unknown, `steps` < 1, or `l1` is not 0 with the KL loss.

    Example
    -------
    >>> V = torch.tensor([[1.0, 3.0, 2.0]])
    >>> W = torch.tensor([[1.0, 0.1], [1.0, 1.0], [0.1, 1.0]])
    >>> W.requires_grad_()
    tensor([[1.0000, 0.1000],
            [1.0000, 1.0000],
            [0.1000, 1.0000]], requires_grad=True)
    >>> H = encode_unrolled(V, W, steps=50)
    >>> H.sum().backward()
    >>> bool(W.grad.isfinite().all())
    True
    """
    steps = check_int("steps", steps, low=1)
    found = find_loss(loss)
    scale = power_of_two(V.detach().amax(1, keepdim=True))
    V = V / scale
    if found.degree == 0:
        V = V.clamp_min(EPS)
    if start is None:
        level = V.sum(1, keepdim=True) / W.shape[1]
        H = (level / W.sum(0)).clamp_min(EPS)
    else:
        H = (start / scale).clamp_min(EPS)
    ones = W.detach().new_ones(1, W.shape[1])
    penalty, _ = penalty_weights(found, check_l1(found, l1), 0.0, scale, ones)

    def updates(V: Tensor, H: Tensor, W: Tensor) -> Tensor:
        """All steps."""
        for _ in range(steps):
            H = _update(found, V, H, W, penalty)
        return H

    with torch.autocast(V.device.type, enabled=False):
        return on_threads(updates, V.numel() * W.shape[1], V, H, W) * scale


def _update(
    loss: Loss, V: Tensor, H: Tensor, W: Tensor, penalty: Tensor | None
) -> Tensor:
    neg, pos = loss.split(V, H, W)
    if penalty is not None:
        pos = pos + penalty
    # The square root of zero has no finite slope.
    ratio = neg / pos
    if loss.power != 1.0:
        ratio = ratio.clamp_min(torch.finfo(V.dtype).tiny).pow(loss.power)
    return (H * ratio).clamp_min(EPS)
