"""Error rates of resampled utterances and seeds, and intervals of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from leanbrain.checks import UserError, check_fraction, check_int

__all__ = ["Array", "Characters", "Data", "Edits", "Resampling", "arrays"]

Edits = Mapping[int, Mapping[str, Sequence[int]]]
Characters = Mapping[str, Sequence[int]]
Array = np.ndarray

# Draws that are made at once: more take memory, fewer take time.
_BLOCK = 1000


@dataclass(frozen=True)
class Data:
    """Edits [S, U] and characters [U] of each language."""

    edits: list[Array]
    characters: list[Array]


class Resampling:
    """How rates are resampled, and how an interval is made of that.

    Arguments
    ---------
    n : int
        Resamples.
    confidence : float
        Of the intervals.
    generator : numpy.random.Generator | None
        None takes one with a fixed seed.
    """

    def __init__(
        self,
        n: int,
        confidence: float,
        generator: np.random.Generator | None,
    ) -> None:
        self._n = check_int("n", n, low=2)
        check_fraction("confidence", confidence, low_open=True, high_open=True)
        self._tail = (1.0 - confidence) / 2.0
        self._generator = generator or np.random.default_rng(0)

    def rates(self, data: Sequence[Data]) -> tuple[list[Array], list[Array]]:
        """Error rates in percent, mean over languages, of each method.

        Arguments
        ---------
        data : Sequence[Data]
            One for each method, of the same utterances.

        Returns
        -------
        tuple
            As they are: [S] of each; of resampled utterances, the same for
            all methods and seeds: [n, S] of each.
        """
        real: list[Array] = [np.zeros(())] * len(data)
        drawn: list[Array] = [np.zeros(())] * len(data)
        languages = len(data[0].edits)
        for i, lengths in enumerate(data[0].characters):
            whole = np.ones((1, len(lengths)))
            blocks = list(self._counts(len(lengths)))
            for k, method in enumerate(data):
                edits = method.edits[i]
                real[k] = real[k] + _rate(whole, edits, lengths)[0]
                drawn[k] = drawn[k] + np.concatenate(
                    [_rate(x, edits, lengths) for x in blocks]
                )
        return (
            [100.0 * x / languages for x in real],
            [100.0 * x / languages for x in drawn],
        )

    def interval(self, values: Array, drawn: Array) -> tuple[float, float]:
        """The interval of a mean over seeds.

        Arguments
        ---------
        values : Array
            One for each seed, [S].
        drawn : Array
            The same of resampled utterances, [n, S].

        Returns
        -------
        tuple
            Its lower and its upper end.
        """
        seeds = len(values)
        chosen = self._generator.integers(seeds, size=drawn.shape)
        means = np.take_along_axis(drawn, chosen, axis=1).mean(axis=1)
        low, high = np.quantile(means, [self._tail, 1.0 - self._tail])
        middle = float(values.mean())
        half = self._half(values, drawn)
        return min(float(low), middle - half), max(float(high), middle + half)

    def _half(self, values: Array, drawn: Array) -> float:
        """Half the width, of the parts of utterances and of seeds."""
        seeds = len(values)
        error = float(drawn.mean(axis=1).std(ddof=1))
        half = float(ndtri(1.0 - self._tail)) * error
        if seeds > 1:
            error = float(values.std(ddof=1)) / math.sqrt(seeds)
            t = float(stdtrit(seeds - 1, 1.0 - self._tail))
            half = math.hypot(half, t * error)
        return half

    def _counts(self, utterances: int) -> Iterator[Array]:
        """How often each utterance is drawn, in blocks of [.., U]."""
        for first in range(0, self._n, _BLOCK):
            size = min(_BLOCK, self._n - first)
            drawn = self._generator.integers(
                utterances, size=(size, utterances)
            )
            drawn += utterances * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * utterances)
            yield counts.reshape(size, utterances).astype(float)


def _rate(counts: Array, edits: Array, characters: Array) -> Array:
    """Edits over characters: [n, S], of counts [n, U] and edits [S, U]."""
    return (counts @ edits.T) / (counts @ characters)[:, None]


def arrays(edits: Edits, characters: Characters) -> Data:
    """Takes lists as arrays, languages in one order.

    Arguments
    ---------
    edits : Mapping
        Seed -> language -> character edits of each utterance.
    characters : Mapping
        Language -> characters of each utterance's reference.

    Returns
    -------
    Data

    Raises
    ------
    UserError
        If a list has another length, or a language no character.
    """
    found, lengths = [], []
    for language, counts in characters.items():
        rows = [per_seed.get(language) for per_seed in edits.values()]
        if any(x is None or len(x) != len(counts) for x in rows):
            raise UserError(
                f"Every seed must have {len(counts)} utterances of "
                f"{language!r}, got "
                f"{[None if x is None else len(x) for x in rows]}."
            )
        if not sum(counts):
            raise UserError(
                f"`characters` of {language!r} must not be all 0, got "
                f"{len(counts)} utterances."
            )
        found.append(np.asarray(rows, dtype=float))
        lengths.append(np.asarray(counts, dtype=float))
    return Data(found, lengths)
