"""How far the weights of each tensor move from one step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Movement"]

_SAMPLE = 1024


class Movement:
    """Compares an even sample of each tensor with that of the look before.

    With accumulated gradients there are several looks between two steps. Each
    is given its share of what the step before them has moved, by as many looks
    as there were in the window before. Otherwise languages that come late in a
    window would always find weights at rest.

    Example
    -------
    >>> movement, weight = Movement(), torch.zeros(4)
    >>> movement.share("w", weight), movement.share("w", weight)
    (0.0, 0.0)
    >>> weight[:2] += 0.5  # the others are masked and stand still
    >>> movement.share("w", weight), movement.share("w", weight)
    (0.25, 0.25)
    """

    def __init__(self) -> None:
        self._samples: dict[str, Tensor] = {}
        # Looks since the last step, and between the two before it.
        self._looks: dict[str, int] = {}
        self._usual: dict[str, int] = {}
        self._shares: dict[str, float] = {}

    def share(self, name: str, weight: Tensor) -> float:
        """Returns the mean distance of the entries that moved, for one look.

        Arguments
        ---------
        name : str
            Name of the parameter.
        weight : Tensor
            Its weights, any shape.

        Returns
        -------
        float
            0 at the first look, where nothing moved, and where there are more
            looks than usual.
        """
        moved = self._since_last(name, weight)
        if moved and name in self._looks:  # by a step that nobody told of
            self._usual[name] = self._looks.pop(name)
        usual, looks = self._usual.get(name, 1), self._looks.get(name, 0)
        self._looks[name] = looks + 1
        if not looks:
            self._shares[name] = moved / usual
        return self._shares[name] if looks < usual else 0.0

    def end_window(self) -> None:
        """A step was made: the next looks are those of another one."""
        self._usual.update(self._looks)
        self._looks.clear()

    @torch.no_grad()
    def _since_last(self, name: str, weight: Tensor) -> float:
        """The mean distance of the entries that moved since the last look."""
        entries = weight.detach().reshape(-1)
        # An odd stride: rows are often as long as a power of two, and every
        # 1,024th entry would be of one column, whose input may be silent.
        stride = max(1, entries.numel() // _SAMPLE) | 1
        now = entries[::stride].float().clone()
        before = self._samples.get(name)
        self._samples[name] = now
        if before is None:
            return 0.0
        moves = (now - before.to(now.device)).abs_()
        return float(moves.sum()) / max(1, int(moves.count_nonzero()))

    def clear(self) -> None:
        """Forgets all looks."""
        for held in (self._samples, self._looks, self._usual, self._shares):
            held.clear()

    def holds(self, sizes: Sequence[int]) -> int:
        """The most bytes that it keeps for parameters of these sizes."""
        return 4 * sum(min(size, 2 * _SAMPLE) for size in sizes)

    def state_dict(self) -> dict[str, Any]:
        """Returns the samples of the last looks, the live ones, and windows.

        Of a window: the looks since the last step, those before it, the share.
        """
        windows = {
            name: (self._looks.get(name, 0), self._usual.get(name, 1), share)
            for name, share in self._shares.items()
        }
        return {"samples": dict(self._samples), "windows": windows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a copy of a saved state."""
        self.clear()
        self._samples = {
            n: held.clone() for n, held in state["samples"].items()
        }
        for name, (looks, usual, share) in state["windows"].items():
            self._usual[name], self._shares[name] = usual, share
            if looks:
                self._looks[name] = looks
