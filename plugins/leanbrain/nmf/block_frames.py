"""The frames of every block of a dictionary in SpeechBrain batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from leanbrain.checks import UserError, check_callable

if TYPE_CHECKING:
    from leanbrain.nmf.dictionary import NMFDictionary

__all__ = ["BlockFrames"]


@dataclass
class BlockFrames:
    """Which frames of a batch train which block.

    Arguments
    ---------
    dictionary : NMFDictionary
        Says which frames count, and how they are balanced.
    spectrum : Callable
        `spectrum(batch)` returns V [B, T, F] and relative lengths [B].
    block_of : Callable | None
        `block_of(batch)` returns the block of every utterance; None: all
        frames train all atoms.
    """

    dictionary: NMFDictionary
    spectrum: Callable[[Any], tuple[Tensor, Tensor | None]]
    block_of: Callable[[Any], Sequence[str]] | None

    def __post_init__(self) -> None:
        check_callable("spectrum", self.spectrum)
        if self.block_of is not None:
            check_callable("block_of", self.block_of)
        elif len(self.dictionary.blocks) > 1:
            raise UserError(
                "`block_of` must say which block each utterance is for when "
                "the dictionary has several, got None with blocks "
                f"{', '.join(self.dictionary.blocks)}."
            )

    def apply(
        self, batch: Any, work: Callable[[Tensor, str | None], float]
    ) -> tuple[float, int]:
        """Applies a function to the frames of every block in a batch.

        Arguments
        ---------
        batch : Any
            What `spectrum` takes.
        work : Callable
            `work(rows, block)` returns a divergence, summed over the rows.

        Returns
        -------
        total : float
            The sum of what `work` returned.
        frames : int
            The number of rows.
        """
        V, lengths = self.spectrum(batch)
        if self.block_of is None:
            groups: dict[str | None, list[int]] = {None: []}
        else:
            groups = _groups(self.block_of(batch), len(V))
        total, frames = 0.0, 0
        for name, items in groups.items():
            part = V if name is None else V[items]
            share = lengths
            if name is not None and lengths is not None:
                share = lengths[items]
            rows = self.dictionary.rows(part, share)
            if len(rows):
                total += work(rows, name)
                frames += len(rows)
        return total, frames

    def mean(self, loader: Iterable[Any]) -> float:
        """Divergence per frame of the validation batches."""
        total, frames = 0.0, 0
        for batch in loader:
            more, count = self.apply(batch, self.dictionary.total)
            total, frames = total + more, frames + count
        if not frames:
            raise UserError(
                "`valid_loader` must give at least one frame that is not "
                "silent, got none."
            )
        return total / frames


def _groups(names: Sequence[str], count: int) -> dict[str | None, list[int]]:
    """The utterances of every block, in order of appearance."""
    if isinstance(names, str) or len(names) != count:
        got = repr(names) if isinstance(names, str) else f"{len(names)}"
        raise UserError(
            f"`block_of` must return a name for each of the {count} "
            f"utterances of a batch, got {got}."
        )
    groups: dict[str | None, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    return groups
