"""Checks of what every update of a mask takes."""

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int
from leanbrain.pruning.updates.topk import check_rankable

__all__ = ["check_growth", "check_keep"]


def check_keep(mask: Tensor, saliency: Tensor, keep: int) -> int:
    """Checks what every update takes; returns the keep-count."""
    if mask.dtype != torch.bool:
        raise UserError(f"`mask` must be a bool tensor, got {mask.dtype}.")
    _check_scores("saliency", saliency, mask)
    keep = check_int("keep", keep, low=0)
    if keep > mask.numel():
        raise UserError(
            f"`keep` must be at most the number of weights ({mask.numel()}), "
            f"got {keep}."
        )
    return keep


def _check_scores(name: str, scores: Tensor, mask: Tensor) -> None:
    """Checks that scores fit a mask and can be ranked."""
    if scores.shape != mask.shape:
        raise UserError(
            f"`{name}` must be in the shape of the mask, {tuple(mask.shape)}; "
            f"got {tuple(scores.shape)}."
        )
    check_rankable(name, scores)


def check_growth(update: str, growth: Tensor | None, mask: Tensor) -> Tensor:
    """Checks that there are scores to grow by."""
    if growth is None:
        raise UserError(
            f"`growth` must be a tensor of scores for {update}, got None."
        )
    _check_scores("growth", growth, mask)
    return growth
