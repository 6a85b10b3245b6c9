"""Rows of a batch that run through different pathways: take apart, put back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from leanbrain.checks import UserError

__all__ = [
    "Grouping",
    "Rows",
    "RowSpec",
    "Taken",
    "group_rows",
    "join",
]


@dataclass(frozen=True)
class Rows:
    """Where a tensor holds the utterances of a batch.

    Arguments
    ---------
    dim : int
        The dimension.
    many : bool
        Whether it may hold several entries per utterance, one after the
        other, as a mask [B * heads, T, T] does.
    tiled : bool
        Whether it may hold the whole batch several times over.
    """

    dim: int = 0
    many: bool = False
    tiled: bool = False

    def places(self, rows: Sequence[int], count: int, size: int) -> list[int]:
        """Lists where some utterances are.

        Arguments
        ---------
        rows : Sequence[int]
            The utterances.
        count : int
            How many there are in all.
        size : int
            Size of the tensor in `dim`.

        Returns
        -------
        list
            Positions in `dim`.

        Raises
        ------
        ValueError
            If so many entries are not those of so many utterances.

        Example
        -------
        >>> Rows(many=True).places([0, 2], 3, 6)
        [0, 1, 4, 5]
        >>> Rows(tiled=True).places([0, 2], 3, 6)
        [0, 2, 3, 5]
        """
        times, rest = divmod(size, count)
        if rest or not times or (times > 1 and not (self.many or self.tiled)):
            raise ValueError(size)
        if self.tiled:
            return [t * count + row for t in range(times) for row in rows]
        return [row * times + t for row in rows for t in range(times)]


Where = Rows | None | Callable[[torch.Tensor], Rows | None]
"""None: the tensor has no rows. A callable looks at the tensor first."""


@dataclass(frozen=True)
class RowSpec:
    """Which arguments and results of a layer have rows.

    Arguments
    ---------
    inputs : Mapping
        Argument -> where its tensors have them, also inside tuples; arguments
        that are not named go to every group as they are.
    outputs : Any
        Where the result has them, in the result's own structure; one entry
        stands for all tensors below it.
    ragged : int | None
        A dimension of the first result that may be shorter in some groups,
        whose longest utterance ends sooner; it is filled with zeros.
    copied : tuple
        Arguments without rows that the layer changes in place.
    """

    inputs: Mapping[str, Where]
    outputs: Any = Rows()
    ragged: int | None = None
    copied: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grouping:
    """Utterances sorted by pathway.

    Arguments
    ---------
    groups : tuple
        One per pathway: its key, and its utterances in rising order.
    count : int
        How many utterances there are in all.
    """

    groups: tuple[tuple[Hashable, tuple[int, ...]], ...]
    count: int

    @property
    def order(self) -> list[int]:
        """The utterances as they come when groups are put one after another."""
        return [row for _, rows in self.groups for row in rows]


def group_rows(keys: Sequence[Hashable]) -> Grouping:
    """Groups utterances that share a key, in the order of appearance.

    Arguments
    ---------
    keys : Sequence
        One per utterance.

    Returns
    -------
    Grouping
        The groups.

    Example
    -------
    >>> group_rows(["en", "ru", "en"]).groups
    (('en', (0, 2)), ('ru', (1,)))
    """
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return Grouping(
        tuple((key, tuple(rows)) for key, rows in groups.items()), len(keys)
    )


class Taken:
    """Takes the rows of one group from arguments, the same tensor once.

    Layers of self-attention look whether query, key and value are one object.

    Arguments
    ---------
    rows : Sequence[int]
        The utterances of the group.
    count : int
        How many there are in all.
    """

    def __init__(self, rows: Sequence[int], count: int) -> None:
        self._rows, self._count = rows, count
        self._done: dict[tuple[int, Rows], torch.Tensor] = {}

    def take(self, value: Any, where: Where) -> Any:
        """Takes the rows of a tensor, or of the tensors in a tuple or list.

        Arguments
        ---------
        value : Any
            An argument of a layer; None and numbers stay as they are.
        where : Where
            Where its tensors have rows.

        Returns
        -------
        Any
            Of the same structure.
        """
        if isinstance(value, PackedSequence):
            raise UserError(
                "A recurrent layer with pathways must get a padded tensor, "
                "got a packed sequence, whose rows are not its utterances."
            )
        if isinstance(value, tuple | list):
            return type(value)(self.take(x, where) for x in value)
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_nested:
            raise UserError(
                "Layers with pathways must get padded tensors, got a nested "
                "one (give TransformerEncoder `enable_nested_tensor=False`)."
            )
        found = where(value) if callable(where) else where
        if found is None:
            return value
        key = (id(value), found)
        if key not in self._done:
            self._done[key] = self._part(value, found)
        return self._done[key]

    def _part(self, value: torch.Tensor, found: Rows) -> torch.Tensor:
        size = value.shape[found.dim]
        places = found.places(self._rows, self._count, size)
        return _select(value, found.dim, places)


def join(
    parts: Sequence[Any], outputs: Any, grouping: Grouping, ragged: int | None
) -> Any:
    """Puts the results of the groups together, rows in the batch's order.

    Arguments
    ---------
    parts : Sequence
        What the layer returned for each group, of one structure.
    outputs : Any
        See `RowSpec`; entries that are None are taken from the first group.
    grouping : Grouping
        The groups.
    ragged : int | None
        See `RowSpec`.

    Returns
    -------
    Any
        What the layer would have returned for the whole batch.
    """
    first = parts[0]
    if isinstance(first, tuple | list):
        below = (
            outputs
            if isinstance(outputs, tuple | list)
            else [outputs] * len(first)
        )
        return type(first)(
            join(x, y, grouping, ragged if i == 0 else None)
            for i, (x, y) in enumerate(
                zip(zip(*parts, strict=True), below, strict=False)
            )
        )
    if isinstance(outputs, tuple | list):  # a layer that may return one only
        outputs = outputs[0]
    if not isinstance(first, torch.Tensor) or outputs is None:
        return first
    if ragged is not None:
        parts = _fill(parts, ragged)
    whole = torch.cat(list(parts), dim=outputs.dim)
    order = grouping.order
    if order == sorted(order):
        return whole
    times = whole.shape[outputs.dim] // grouping.count
    back = torch.tensor(order).argsort().tolist()
    places = [row * times + t for row in back for t in range(times)]
    return _select(whole, outputs.dim, places)


def _fill(parts: Sequence[torch.Tensor], dim: int) -> list[torch.Tensor]:
    """Gives all parts the size of the longest, with zeros at the end."""
    longest = max(part.shape[dim] for part in parts)
    filled = []
    for part in parts:
        behind = [0, 0] * (part.dim() - 1 - dim)
        missing = longest - part.shape[dim]
        filled.append(
            torch.nn.functional.pad(part, [*behind, 0, missing])
            if missing
            else part
        )
    return filled


def _select(
    value: torch.Tensor, dim: int, places: Sequence[int]
) -> torch.Tensor:
    """Takes entries along a dimension; neighbours need no copy."""
    first, last = places[0], places[-1]
    if list(places) == list(range(first, last + 1)):
        return value.narrow(dim, first, len(places))
    index = torch.tensor(places, device=value.device)
    return value.index_select(dim, index)
