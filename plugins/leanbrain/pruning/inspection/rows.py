"""The parameters of a model as rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from leanbrain.masking.targets import Target, explain_targets

__all__ = ["Row", "inspect_targets", "rows_of"]


@dataclass(frozen=True)
class Row:
    """A parameter in the table of a model.

    Arguments
    ---------
    name : str
        Its first qualified name.
    shape : tuple
        Its shape.
    group : str
        The part of the model that it belongs to.
    weights : int
        How many numbers it holds.
    share : float
        Of all weights of the model, in [0, 1].
    tied : tuple
        Its other names.
    left_out : str or None
        Why it cannot be or is not to be masked; None for a target.
    """

    name: str
    shape: tuple[int, ...]
    group: str
    weights: int
    share: float
    tied: tuple[str, ...]
    left_out: str | None


def inspect_targets(
    modules: nn.Module | Mapping[str, nn.Module],
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    unsaved: Callable[[nn.Parameter], bool] | None = None,
) -> list[Row]:
    """Lists all parameters of a model as `select_targets` sees them.

    Arguments
    ---------
    modules, include, exclude, groups, unsaved
        As for `select_targets`.

    Returns
    -------
    list
        A row for each parameter, tied ones once.

    Raises
    ------
    UserError
        If a pattern matches nothing.

    Example
    -------
    >>> for row in inspect_targets(nn.ModuleDict({"enc": nn.Linear(4, 2)})):
    ...     print(row.name, row.shape, row.weights, row.share, row.left_out)
    enc.weight (2, 4) 8 0.8 None
    enc.bias (2,) 2 0.2 a bias
    """
    return rows_of(explain_targets(modules, include, exclude, groups, unsaved))


def rows_of(found: Sequence[tuple[Target, str | None]]) -> list[Row]:
    """Parameters, and why they are left out, as rows of the table."""
    total = sum(target.parameter.numel() for target, _ in found) or 1
    return [
        Row(
            target.name,
            tuple(target.parameter.shape),
            target.group,
            target.parameter.numel(),
            target.parameter.numel() / total,
            target.aliases,
            left_out,
        )
        for target, left_out in found
    ]
