"""A trial run that shows whether masks reach every layer of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from leanbrain.checks import UserError

if TYPE_CHECKING:
    from leanbrain.masking._lanes import Lane
    from leanbrain.masking.router import PathwayRouter

__all__ = ["compare_mixed_with_single"]


@torch.no_grad()
def compare_mixed_with_single(
    router: PathwayRouter,
    lanes: Sequence[Lane],
    run: Callable[[], Any],
    pathways: Sequence[str],
    tolerance: float,
) -> None:
    """Runs a batch mixed and pathway by pathway: see `PathwayRouter.check`."""
    listed = isinstance(pathways, Sequence) and not isinstance(pathways, str)
    names = list(dict.fromkeys(pathways)) if listed else []
    if len(names) < 2:
        raise UserError(
            "`pathways` must be a list with two different ones at least, got "
            f"{pathways!r}."
        )
    for lane in lanes:
        lane.ran = False
    with router.through(pathways):
        mixed = _rows_of(run(), len(pathways))
        idle = [lane for lane in lanes if not lane.ran]
        noise = _distance(run(), mixed)  # some layers add noise
        _refuse_read(idle, run, mixed, noise)
    for name in names:
        with router.through(name):
            alone = run()
        rows = [i for i, x in enumerate(pathways) if x == name]
        worst = _distance(mixed[rows], alone[rows])
        largest = float(alone[rows].nan_to_num(0.0, 0.0, 0.0).abs().max())
        if (
            not worst <= tolerance * largest + 10 * noise
        ):  # also if not a number
            raise UserError(
                "A mixed batch must give what batches of one pathway give, "
                f"got a difference of {worst:.2g} in rows of {name!r}: is a "
                "layer's input not batch first?"
            )


def _rows_of(result: Any, count: int) -> torch.Tensor:
    """Refuses what cannot be compared row by row."""
    shape = list(getattr(result, "shape", []))
    if not isinstance(result, torch.Tensor) or shape[:1] != [count]:
        raise UserError(
            f"`run` must return a tensor with {count} rows, got "
            f"{f'one of shape {shape}' if shape else type(result).__name__}."
        )
    return result


def _refuse_read(
    idle: Sequence[Lane],
    run: Callable[[], Any],
    before: torch.Tensor,
    noise: float,
) -> None:
    """Names layers that do not run although others read their weights.

    Some models build layers that they never use: their weights may be
    anything.
    """
    if not idle:
        return
    with _blanked(idle):
        moved = _distance(run(), before)
    if not moved <= 10 * noise:  # also if not a number
        names = [lane.name for lane in idle]
        raise UserError(
            "Every masked layer must run through its own `forward`, got none "
            f"of {', '.join(names[:5])}{' and others' if names[5:] else ''}."
        )


@contextmanager
def _blanked(lanes: Iterable[Lane]) -> Iterator[None]:
    """Sets the weights of layers to zero for a while."""
    places = [place for lane in lanes for place in lane.weights.places]
    kept = [place.parameter.detach().clone() for place in places]
    try:
        for place in places:
            place.parameter.zero_()
        yield
    finally:
        for place, value in zip(places, kept, strict=True):
            place.parameter.copy_(value)


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference; infinities that are equal differ by nothing."""
    return float((a - b).masked_fill(a == b, 0.0).abs().max())
