"""Updates: how a mask becomes the next one, with an exact number of weights.

Every update is called as ``update(mask, saliency, growth, keep, progress)``
and returns a bool mask with exactly `keep` entries True. Of equal scores the
entry with the lowest index is kept (or grown).
"""

import math

from torch import Tensor

from leanbrain.checks import UserError, check_fraction
from leanbrain.pruning.schedules import clamp_progress
from leanbrain.pruning.updates.booleans import count_true
from leanbrain.pruning.updates.checks import check_growth, check_keep
from leanbrain.pruning.updates.topk import top_mask

__all__ = [
    "cos_decay",
    "drop_and_grow",
    "prune_only",
    "replace_dropped",
    "reselect",
    "top_mask",
]


def prune_only(
    mask: Tensor,
    saliency: Tensor,
    growth: Tensor | None,
    keep: int,
    progress: float,
) -> Tensor:
    """Removes the active weights that rank lowest; none ever returns.

    Arguments
    ---------
    mask : Tensor
        Bool, any shape; True = active.
    saliency : Tensor
        What is worth keeping, in the shape of `mask`, float, no NaN.
    growth : Tensor | None
        It has no effect here.
    keep : int
        Weights to keep, at most as many as are active.
    progress : float
        It has no effect here.

    Returns
    -------
    Tensor
        New bool mask in the shape of `mask`, a subset of it.

    Raises
    ------
    UserError
        If `keep` exceeds the active weights or a tensor does not fit.

    Example
    -------
    >>> import torch
    >>> mask = torch.tensor([True, True, True, False])
    >>> prune_only(mask, torch.tensor([3.0, 1.0, 2.0, 9.0]), None, 2, 0.0)
    tensor([ True, False,  True, False])
    """
    keep = check_keep(mask, saliency, keep)
    active = count_true(mask)
    if keep > active:
        raise UserError(
            "`keep` must be at most the number of active weights "
            f"({active}), since prune_only can only shrink a mask; got {keep}."
        )
    return top_mask(saliency, keep, mask, "saliency")


def reselect(
    mask: Tensor,
    saliency: Tensor,
    growth: Tensor | None,
    keep: int,
    progress: float,
    *,
    favour: float = 1.0,
) -> Tensor:
    """Selects anew from all weights, active or not.

    With a saliency that does not differ between pathways, magnitude for one,
    all pathways end up with the same mask; with `favour`, later.

    Arguments
    ---------
    mask : Tensor
        Bool, any shape; with `favour` 1 only its shape is used.
    saliency : Tensor
        What is worth keeping, in the shape of `mask`, float, no NaN.
    growth : Tensor | None
        It has no effect here.
    keep : int
        Weights to keep.
    progress : float
        It has no effect here.
    favour : float
        What the saliency of active weights is multiplied by, at least 1: a
        removed weight returns only if it is worth that much more than an
        active one, so that a mask keeps a memory of how it began.

    Returns
    -------
    Tensor
        New bool mask in the shape of `mask`.

    Raises
    ------
    UserError
        If a tensor or a setting does not fit.

    Example
    -------
    >>> import torch
    >>> mask = torch.tensor([True, True, True, False])
    >>> reselect(mask, torch.tensor([3.0, 1.0, 2.0, 9.0]), None, 2, 0.0)
    tensor([ True, False, False,  True])
    """
    favour = check_fraction("favour", favour, low=1.0, high=math.inf)
    keep = check_keep(mask, saliency, keep)
    if favour > 1.0:
        saliency = saliency * mask.float().mul_(favour - 1.0).add_(1.0)
    return top_mask(saliency, keep, name="saliency")


def drop_and_grow(
    mask: Tensor,
    saliency: Tensor,
    growth: Tensor | None,
    keep: int,
    progress: float,
    *,
    drop_fraction: float = 0.3,
) -> Tensor:
    """Drops the active weights that rank lowest and grows others instead.

    Of the `keep` weights, `drop_fraction * cos_decay(progress)` are grown:
    the best by `growth` among those that were inactive. The rest are the
    best by `saliency` among those that were active. Where fewer are active
    than that, all of them stay and more are grown. A weight that was just
    dropped does not grow again at once, as it may in RigL's algorithm.

    Arguments
    ---------
    mask : Tensor
        Bool, any shape; True = active.
    saliency : Tensor
        What is worth keeping, in the shape of `mask`, float, no NaN.
    growth : Tensor | None
        What is worth growing, likewise. It must differ between pathways,
        their own gradients for one, or they all grow the same weights.
    keep : int
        Weights to keep, grown ones included. May differ from the number of
        active ones.
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    drop_fraction : float
        Share of `keep` that is grown at progress 0, in [0, 1].

    Returns
    -------
    Tensor
        New bool mask in the shape of `mask`.

    Raises
    ------
    UserError
        If `growth` is None or a setting or a tensor does not fit.

    Reference
    ---------
    Mocanu et al. (SET), arXiv 1707.04780; Evci et al. (RigL),
    arXiv 1911.11134, section 3 (2) to (4) and algorithm 1.

    Example
    -------
    >>> import torch
    >>> mask = torch.tensor([True, True, False, False])
    >>> saliency = torch.tensor([3.0, 1.0, 0.0, 0.0])
    >>> growth = torch.tensor([0.0, 9.0, 1.0, 2.0])
    >>> drop_and_grow(mask, saliency, growth, 2, 0.0, drop_fraction=0.5)
    tensor([ True, False, False,  True])
    """
    drop_fraction = check_fraction("drop_fraction", drop_fraction)
    keep = check_keep(mask, saliency, keep)
    growth = check_growth("drop_and_grow", growth, mask)
    active = count_true(mask)
    wanted = round(drop_fraction * cos_decay(progress) * keep)
    grown = min(wanted, mask.numel() - active)
    survivors = min(keep - grown, active)
    result = top_mask(saliency, survivors, mask, "saliency")
    result |= top_mask(growth, keep - survivors, ~mask, "growth")
    return result


def replace_dropped(
    mask: Tensor,
    saliency: Tensor,
    growth: Tensor | None,
    keep: int,
    progress: float,
    *,
    drop_fraction: float = 0.3,
) -> Tensor:
    """Drops a share of the active weights, then grows others up to `keep`.

    Unlike in `drop_and_grow` the share is that of the active weights, so
    that a tensor whose `keep` rises grows more than it drops: for counts
    that differ from update to update, those of `by_gradient` for one. Where
    `keep` is below what stays, more is dropped and nothing grows.

    Arguments
    ---------
    mask : Tensor
        Bool, any shape; True = active.
    saliency : Tensor
        What is worth keeping, in the shape of `mask`, float, no NaN.
    growth : Tensor | None
        What is worth growing, likewise; refused if None.
    keep : int
        Weights to keep, grown ones included.
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].
    drop_fraction : float
        Share of the active weights that is dropped at progress 0, in [0, 1].

    Returns
    -------
    Tensor
        New bool mask in the shape of `mask`.

    Raises
    ------
    UserError
        If `growth` is None or a setting or a tensor does not fit.

    Reference
    ---------
    Evci et al. (RigL), arXiv 1911.11134, algorithm 1; layer by layer as in
    GGR, arXiv 2210.14012.

    Example
    -------
    >>> import torch
    >>> mask = torch.tensor([True, True, False, False])
    >>> saliency = torch.tensor([3.0, 1.0, 0.0, 0.0])
    >>> growth = torch.tensor([0.0, 9.0, 1.0, 2.0])
    >>> replace_dropped(mask, saliency, growth, 3, 0.0, drop_fraction=0.5)
    tensor([ True, False,  True,  True])
    """
    drop_fraction = check_fraction("drop_fraction", drop_fraction)
    keep = check_keep(mask, saliency, keep)
    growth = check_growth("replace_dropped", growth, mask)
    active = count_true(mask)
    dropped = round(drop_fraction * cos_decay(progress) * active)
    grown = max(keep - (active - dropped), 0)
    # Where all the others are grown, fewer are dropped.
    grown = min(grown, mask.numel() - active)
    result = top_mask(saliency, keep - grown, mask, "saliency")
    result |= top_mask(growth, grown, ~mask, "growth")
    return result


def cos_decay(progress: float) -> float:
    """Falls from 1 to 0 along half a cosine.

    Arguments
    ---------
    progress : float
        Share of the pruning period that is over; clamped to [0, 1].

    Returns
    -------
    float
        0.5 * (1 + cos(pi * progress)).

    Reference
    ---------
    Evci et al., arXiv 1911.11134, section 3 (2): f_decay with alpha = 1.

    Example
    -------
    >>> cos_decay(0.0), round(cos_decay(0.5), 6), cos_decay(1.0)
    (1.0, 0.5, 0.0)
    """
    return 0.5 * (1.0 + math.cos(math.pi * clamp_progress(progress)))
