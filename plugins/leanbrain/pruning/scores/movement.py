"""How far the weights of each tensor moved from one look to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["Movement"]

_SAMPLE = 1024


class Movement:
    """Compares an even sample of each tensor with that of the look before.

    Example
    -------
    >>> movement, weight = Movement(), torch.zeros(4)
    >>> movement.since_last("w", weight)
    0.0
    >>> weight[:2] += 0.5  # the others are masked and stand still
    >>> movement.since_last("w", weight)
    0.5
    """

    def __init__(self) -> None:
        self._samples: dict[str, Tensor] = {}

    @torch.no_grad()
    def since_last(self, name: str, weight: Tensor) -> float:
        """Returns the mean distance of the entries that moved.

        Arguments
        ---------
        name : str
            Name of the parameter.
        weight : Tensor
            Its weights, any shape.

        Returns
        -------
        float
            0 at the first look, and where nothing moved.
        """
        entries = weight.detach().reshape(-1)
        now = entries[:: max(1, entries.numel() // _SAMPLE)].float().clone()
        before = self._samples.get(name)
        self._samples[name] = now
        if before is None:
            return 0.0
        moves = (now - before.to(now.device)).abs_()
        return float(moves.sum()) / max(1, int(moves.count_nonzero()))

    def clear(self) -> None:
        """Forgets all looks."""
        self._samples.clear()

    def holds(self, sizes: Sequence[int]) -> int:
        """The most bytes that it keeps for parameters of these sizes."""
        return 4 * sum(min(size, 2 * _SAMPLE) for size in sizes)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the samples of the last looks, the live ones."""
        return dict(self._samples)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over a copy of saved samples."""
        self._samples = {name: held.clone() for name, held in state.items()}
