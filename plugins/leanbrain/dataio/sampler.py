"""Batches of one language each, drawn by temperature, bucketed by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from leanbrain.checks import (
    UserError,
    check_fraction,
    check_int,
    check_positive,
)
from leanbrain.dataio.epochs import follow_brains

__all__ = [
    "LanguageBatchSampler",
    "evaluation_batches",
    "language_probabilities",
]


def language_probabilities(
    seconds: dict[str, float], temperature: float = 1.0
) -> dict[str, float]:
    """Share of the batches that each language gets.

    Arguments
    ---------
    seconds : dict
        Amount of training audio per language, in seconds, > 0.
    temperature : float
        At least 1. With 1 the shares follow the amounts; larger values flatten
        them towards equal shares, so that small languages are seen more often.

    Returns
    -------
    dict
        Language -> probability; the values sum to 1.

    Reference
    ---------
    Arivazhagan et al., arXiv 1907.05019, section 4.2: p_l ~ D_l^(1/T).

    Example
    -------
    >>> language_probabilities({"en": 900.0, "uk": 100.0}, temperature=2.0)
    {'en': 0.75, 'uk': 0.25}
    """
    check_positive("temperature", temperature)
    if temperature < 1:
        raise UserError(f"`temperature` must be >= 1, got {temperature}.")
    weights = {k: s ** (1.0 / temperature) for k, s in seconds.items()}
    total = sum(weights.values())
    return {k: w / total for k, w in weights.items()}


class LanguageBatchSampler(Sampler[list[int]]):
    """Yields lists of utterance indices, all of one language.

    An epoch has a fixed number of batches, so that the length of a run is
    known in optimizer steps. Every language is an endless stream of batches:
    one pass over its utterances after the other, each shuffled anew, each
    utterance once a pass. What an epoch yields depends on ``seed`` and the
    epoch number alone: a resumed run that skips the batches already seen
    continues exactly where it was.

    Each iteration is the next epoch. Every Brain says which one it trains,
    however its loader was built (see ``epochs.follow_brains``), so that a
    resumed run finds its place; where ``fit`` starts over with epochs that
    this sampler has been through, it goes on with those that follow.

    Arguments
    ---------
    durations : sequence of float
        Length of each utterance in seconds.
    languages : sequence of str
        Language of each utterance.
    max_batch_s : float
        Upper bound for batch size x longest utterance, in seconds; an
        utterance longer than this is a batch of its own.
    batches_per_epoch : int
        Batches that each rank gets in an epoch.
    temperature : float
        See ``language_probabilities``.
    jitter : float
        Relative random change of the sorting length, in [0, 1): 0 sorts by
        exact length, larger values mix batches more and pad more.
    seed : int
        Seed of everything random here.
    rank, world_size : int
        Position in a distributed run. Ranks may hold different languages at
        the same step. Leave the defaults where SpeechBrain itself wraps the
        sampler for distributed use.

    Example
    -------
    >>> sampler = LanguageBatchSampler(
    ...     [1.0, 1.2, 2.0, 0.5], ["en", "en", "fr", "fr"],
    ...     max_batch_s=3.0, batches_per_epoch=4,
    ... )
    >>> first, second = list(sampler), list(sampler)
    >>> sampler.set_epoch(2)
    >>> len(first), list(sampler) == second
    (4, True)
    """

    def __init__(
        self,
        durations: Sequence[float],
        languages: Sequence[str],
        max_batch_s: float,
        batches_per_epoch: int,
        temperature: float = 1.0,
        jitter: float = 0.1,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(durations) != len(languages) or not len(durations):
            raise UserError(
                "`durations` and `languages` must be of the same length > 0, "
                f"got {len(durations)} and {len(languages)}."
            )
        self.max_batch_s = check_positive("max_batch_s", max_batch_s)
        self.batches_per_epoch = check_int(
            "batches_per_epoch", batches_per_epoch, low=1
        )
        self.jitter = check_fraction("jitter", jitter, high_open=True)
        self.seed = check_int("seed", seed, low=0)
        self.world_size = check_int("world_size", world_size, low=1)
        self.rank = check_int("rank", rank, low=0)
        if self.rank >= self.world_size:
            raise UserError(
                f"`rank` must be below world_size {world_size}, got {rank}."
            )
        self.durations = [check_positive("durations", d) for d in durations]
        self.members: dict[str, list[int]] = {}
        for index, language in enumerate(languages):
            self.members.setdefault(language, []).append(index)
        self.languages = sorted(self.members)
        self.probabilities = language_probabilities(
            {
                name: sum(self.durations[i] for i in self.members[name])
                for name in self.languages
            },
            temperature,
        )
        self.epoch = 1  # of the next iteration
        self.generator: torch.Generator | None = None
        self._finished = -1  # the last epoch that was iterated to its end
        self._shift = 0  # what later fits add to their numbers of epochs
        follow_brains()

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration yields (from 0)."""
        self.epoch = check_int("epoch", epoch, low=0) + self._shift
        if self.generator is not None:
            self.generator.manual_seed(self._mix(2, self.epoch))

    def begin_epoch(self, epoch: int) -> None:
        """As ``set_epoch``, but no epoch comes twice: a new fit goes on."""
        if epoch + self._shift <= self._finished:
            self._shift = self._finished + 1 - epoch
        self.set_epoch(epoch)

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        # At the first batch: a loader may ask for an iterator and not use it.
        epoch = self.epoch
        self.epoch = epoch + 1
        yield from self.batches(epoch)
        self._finished = epoch

    def batches(self, epoch: int) -> Iterator[list[int]]:
        """This rank's batches of an epoch; the sampler stays where it is."""
        streams = {
            name: self._stream(name, position)
            for name, position in self._positions(epoch).items()
        }
        for slot, language in enumerate(self._draw(epoch)):
            batch = next(streams[language])
            if slot % self.world_size == self.rank:
                yield batch

    def _positions(self, epoch: int) -> dict[str, int]:
        """Where each language's stream is when an epoch begins.

        Epoch 1 begins the first pass. Epoch 0, which only some runs have,
        ends the pass before.
        """
        positions = dict.fromkeys(self.languages, 0)
        for number in range(1, epoch):
            for language in self._draw(number):
                positions[language] += 1
        if epoch == 0:
            for language in self._draw(0):
                positions[language] -= 1
        return positions

    def _generator(self, *key: int) -> torch.Generator:
        """A generator of its own for every (purpose, language, pass)."""
        return torch.Generator().manual_seed(self._mix(*key))

    def _mix(self, *key: int) -> int:
        mixed = self.seed
        for part in key:
            mixed = (mixed * 1_000_003 + part + 1) % (2**63 - 1)
        return mixed

    def _draw(self, epoch: int) -> list[str]:
        """The languages of all slots of an epoch, over all ranks."""
        weights = torch.tensor([self.probabilities[x] for x in self.languages])
        drawn = torch.multinomial(
            weights,
            self.batches_per_epoch * self.world_size,
            replacement=True,
            generator=self._generator(0, epoch),
        )
        return [self.languages[i] for i in drawn.tolist()]

    def _stream(self, language: str, start: int) -> Iterator[list[int]]:
        """Endless batches of one language from a position on."""
        number = 0
        while start < 0:
            number -= 1
            start += len(self._one_pass(language, number))
        while True:
            batches = self._one_pass(language, number)
            yield from batches[start:]
            start = max(0, start - len(batches))
            number += 1

    def _one_pass(self, language: str, number: int) -> list[list[int]]:
        """Every utterance of a language once, in shuffled batches."""
        generator = self._generator(1, self.languages.index(language), number)
        members = self.members[language]
        noise = torch.rand(len(members), generator=generator).tolist()
        keys = {
            i: self.durations[i] * (1 + self.jitter * (2 * u - 1))
            for i, u in zip(members, noise, strict=False)
        }
        batches = self.cut(members, keys)
        order = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[i] for i in order]

    def cut(
        self, members: Sequence[int], keys: dict[int, float]
    ) -> list[list[int]]:
        """Sorts utterances by their keys and cuts batches that fit."""
        batches: list[list[int]] = []
        current: list[int] = []
        longest = 0.0
        for index in sorted(members, key=lambda i: (keys[i], i)):
            padded = max(longest, self.durations[index])
            if current and padded * (len(current) + 1) > self.max_batch_s:
                batches.append(current)
                current, padded = [], self.durations[index]
            current.append(index)
            longest = padded
        batches.append(current)
        return batches


def evaluation_batches(
    durations: Sequence[float], languages: Sequence[str], max_batch_s: float
) -> list[list[int]]:
    """Every utterance once, in batches of one language and similar length.

    Arguments
    ---------
    durations : sequence of float
        Length of each utterance in seconds.
    languages : sequence of str
        Language of each utterance.
    max_batch_s : float
        As for ``LanguageBatchSampler``.

    Returns
    -------
    list of list of int
        To be passed as ``batch_sampler``; the same at every call.

    Example
    -------
    >>> evaluation_batches([2.0, 1.0, 1.5], ["en", "fr", "en"], 4.0)
    [[2, 0], [1]]
    """
    sampler = LanguageBatchSampler(
        durations, languages, max_batch_s, 1, jitter=0.0
    )
    batches: list[list[int]] = []
    for language in sampler.languages:
        members = sampler.members[language]
        keys = {i: sampler.durations[i] for i in members}
        batches += sampler.cut(members, keys)
    return batches
