"""Mean squares of gradients by row and by column, per pathway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from leanbrain.pruning.scores.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.scores.codes import code_of
from leanbrain.pruning.scores.observing import in_blocks, rows_of

__all__ = ["FactoredSquares"]

_CODE = code_of(torch.float32)
# A pathway counts as much as what all of them have seen after so many batches.
_PRIOR = 10


class FactoredSquares:
    """Which rows and columns of a weight have large gradients.

    The mean square of the gradient of an entry is taken as that of its row
    times that of its column over that of the tensor. In the few batches of a
    fine-tuning that is nearer to the truth than a mean square of each entry
    by itself, and costs no memory to speak of. A pathway that was seen in few
    batches takes over what the pathways have seen together, so that a rare
    language is no guess.

    Arguments
    ---------
    decay : float
        Weight of the past, in [0, 1).

    Reference
    ---------
    Shazeer and Stern, Adafactor, arXiv 1804.04235, section 3.

    Example
    -------
    >>> squares = FactoredSquares(decay=0.9)
    >>> squares.take("en", "w", torch.tensor([[1.0, 2.0], [2.0, 4.0]]))
    True
    >>> rows, columns = squares.means("en", "w")
    >>> (rows @ columns / rows.mean()).tolist()
    [[1.0, 4.0], [4.0, 16.0]]
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        # pathway -> parameter and 0 for rows, 1 for columns
        self._means: dict[str, dict[tuple[str, int], RunningAverage]] = {}
        # Reused by every gradient.
        self._space = torch.empty(1, 0)

    def take(self, pathway: str, name: str, gradient: Tensor) -> bool:
        """Takes in a gradient.

        Arguments
        ---------
        pathway : str
            Whose it is.
        name : str
            Name of the parameter.
        gradient : Tensor
            Of any shape; its first dimension is that of the rows.

        Returns
        -------
        bool
            False if an entry was NaN or infinite, or too large to be squared:
            it left no trace then.
        """
        means = self._mean_squares(rows_of(gradient.detach()))
        # NaN and infinity show in it; the only wait for a GPU.
        if not bool(torch.isfinite(means[0].sum() + means[1].sum())):
            return False
        held = self._means.setdefault(pathway, {})
        for side, fresh in enumerate(means):
            if (name, side) not in held:
                held[name, side] = RunningAverage.empty(_CODE, fresh)
            average = held[name, side]
            average.values = average.values.to(fresh.device)
            average.take(fresh, 0.0, self.decay, torch.empty_like(fresh))
        return True

    def _mean_squares(self, table: Tensor) -> tuple[Tensor, Tensor]:
        """Of the rows [R] and of the columns [C] of a table [R, C]."""
        height, width = table.shape
        rows = torch.zeros(height, device=table.device)
        columns = torch.zeros(width, device=table.device)
        size = max(width, RunningAverage.scratch_size(table))
        if self._space.numel() < size or self._space.device != table.device:
            self._space = torch.empty(1, size, device=table.device)
        for square, part, row in in_blocks(self._space, table, rows):
            square.copy_(part).square_()
            torch.sum(square, dim=1, out=row)
            columns.add_(square.sum(dim=0))
        return rows.div_(max(1, width)), columns.div_(max(1, height))

    def knows(self, name: str) -> bool:
        """Whether any pathway was seen."""
        return any((name, 0) in held for held in self._means.values())

    def names(self) -> list[str]:
        """The parameters that any pathway was seen with."""
        keys = {key for held in self._means.values() for key in held}
        return sorted({name for name, _ in keys})

    def means(self, pathway: str, name: str) -> tuple[Tensor, Tensor]:
        """Returns the mean squares of rows [R, 1] and of columns [1, C].

        Arguments
        ---------
        pathway : str
            Whose; what the others have seen counts as well, the less the
            more batches it was seen in itself.
        name : str
            Name of the parameter, which some pathway knows.

        Returns
        -------
        tuple of Tensor
            float32, new.
        """
        known = [x for x in self._means.values() if (name, 0) in x]
        seen = self.seen(pathway, name)
        share = seen / (seen + _PRIOR)
        rows, columns = (
            self._blend(pathway, known, (name, side), share) for side in (0, 1)
        )
        return rows.view(-1, 1), columns.view(1, -1)

    def seen(self, pathway: str, name: str) -> int:
        """Counts the gradients of a pathway that were taken in."""
        own = self._means.get(pathway, {}).get((name, 0))
        return own.seen if own else 0

    def _blend(
        self,
        pathway: str,
        known: list[dict[tuple[str, int], RunningAverage]],
        key: tuple[str, int],
        share: float,
    ) -> Tensor:
        """A pathway's own means and those of all, each pathway alike."""
        device = known[0][key].values.device
        every = torch.stack([x[key].values.to(device) for x in known]).mean(0)
        if not share:
            return every
        return every.lerp_(self._means[pathway][key].values.to(device), share)

    def reduce(self, pathway: str, seen: Mapping[str, int]) -> dict[str, int]:
        """Averages a pathway's means over the ranks that observed it.

        Arguments
        ---------
        pathway : str
            Which one.
        seen : Mapping[str, int]
            The parameters that this rank observed, and how often.

        Returns
        -------
        dict
            The parameters that any rank observed.
        """
        held = self._means.get(pathway, {})
        own = {
            f"{side}{name}": held[name, side]
            for name in seen
            for side in (0, 1)
        }
        counts = {}
        for key, mean in reduce_over_ranks(own, _CODE).items():
            side, name = int(key[0]), key[1:]
            self._means.setdefault(pathway, {})[name, side] = mean
            counts[name] = mean.seen
        return counts

    def clear(self) -> None:
        """Forgets everything."""
        self._means.clear()
        self._space = torch.empty(1, 0)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state; the tensors are the live ones."""
        return {
            pathway: [
                (name, side, mean.state_dict())
                for (name, side), mean in held.items()
            ]
            for pathway, held in self._means.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a copy of a saved state."""
        self._means = {
            pathway: {
                (name, side): RunningAverage.from_state(_CODE, saved)
                for name, side, saved in held
            }
            for pathway, held in state.items()
        }
