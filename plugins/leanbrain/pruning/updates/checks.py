"""Checks of what every update of a mask takes."""

from collections.abc import Callable

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_int

__all__ = ["check_growth", "check_keep", "rehearse"]


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
    """Checks that scores fit a mask; that they rank, `top_mask` does."""
    if scores.shape != mask.shape:
        raise UserError(
            f"`{name}` must be in the shape of the mask, {tuple(mask.shape)}; "
            f"got {tuple(scores.shape)}."
        )


def check_growth(update: str, growth: Tensor | None, mask: Tensor) -> Tensor:
    """Checks that there are scores to grow by."""
    if growth is None:
        raise UserError(
            f"`growth` must be a tensor of scores for {update}, got None."
        )
    _check_scores("growth", growth, mask)
    return growth


def rehearse(update: Callable[..., Tensor], grows: bool) -> None:
    """Lets an update refuse its settings before a run rather than within it.

    Arguments
    ---------
    update : callable
        As `updates` describes them.
    grows : bool
        Whether it will be given scores to grow by.

    Raises
    ------
    UserError
        That of the update, of a setting or of scores that it needs.

    Example
    -------
    >>> from functools import partial
    >>> from leanbrain.pruning.updates.rules import drop_and_grow
    >>> rehearse(partial(drop_and_grow, drop_fraction=2), grows=True)
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: `drop_fraction` must be in [0, 1], got 2.
    """
    mask, scores = torch.tensor([True, False]), torch.tensor([1.0, 0.0])
    update(mask, scores, scores.flip(0) if grows else None, 1, 0.0)
