"""How sensitive a loss is to weights, by mean squares of their gradients.

Functions of the mean squares of rows [R, 1] and of columns [1, C], which are
overwritten. They return factors, whose products are those of the entries.
"""

import torch
from torch import Tensor

__all__ = ["rms_factors", "sensitivity_factors", "typical_sensitivity"]

_SMALLEST = torch.finfo(torch.float32).tiny
# Share of the mean sensitivity of a tensor that every weight has at least:
# where inputs were silent so far, large weights are kept all the same.
_FLOOR = 0.3


def rms_factors(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean squares, none so small that quotients by them explode."""
    mean = rows.mean().clamp_(min=_SMALLEST)
    return (
        rows.div_(mean).sqrt_().clamp_(min=1e-3),
        columns.sqrt_().clamp_(min=_SMALLEST**0.5),
    )


def sensitivity_factors(
    rows: Tensor, columns: Tensor, exponent: float
) -> tuple[Tensor, Tensor, float]:
    """Factors of the sensitivity, and the least, which is to be added.

    The formula is in the docstring of ``PathwayMagnitude``.
    """
    power = exponent / 2
    mean = float(rows.mean())
    if not mean:  # no gradient to speak of: by magnitude, after the others
        return rows, columns, _SMALLEST**0.5
    rows.div_(mean).pow_(power)
    columns.div_(mean).sqrt_().mul_(mean**power)
    return rows, columns, _FLOOR * float(rows.mean() * columns.mean())


def typical_sensitivity(
    rows: Tensor, columns: Tensor, exponent: float
) -> float:
    """The mean over the weights of a tensor."""
    rows, columns, least = sensitivity_factors(rows, columns, exponent)
    return float(rows.mean() * columns.mean()) + least
