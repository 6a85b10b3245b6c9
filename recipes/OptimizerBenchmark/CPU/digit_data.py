"""Batches of spoken digits, held in memory: words, or words joined.

What is in an epoch is fixed; its order depends on `seed` alone.
"""

import hashlib
import json
from functools import cached_property

import torch
from digit_batches import Split
from digit_features import FeatureSettings, load_words
from torch.utils.data import DataLoader, IterableDataset

from leanbrain.checks import UserError, check_int


class Stream(IterableDataset):
    """Endless batches: one shuffled pass after the other.

    Arguments
    ---------
    split : Split
        The items.
    order : callable
        () -> endless iterator of lists of indices.
    """

    def __init__(self, split, order):
        super().__init__()
        self.split, self.order = split, order

    def __iter__(self):
        return map(self.split.batch, self.order())


class DigitWords:
    """One digit an item.

    Arguments
    ---------
    data_folder : path | None
        Has train.csv and valid.csv; None: the embedded synthetic digits.
    cache_folder : path
        Where features are kept.
    seed : int
        Of the order of training items.
    batch_size : int
        Training items in a batch.
    valid_items : int
        Validation items, or all if there are fewer: spread evenly over
        languages, speakers and digits.
    valid_batch_size : int
        Validation items in a batch.
    stack : int
        Feature frames that become one.
    embedded_snr_db : float | None
        White noise of this level below each synthesised word: they are all
        too clear. None: no noise. Words of a `data_folder` stay as they are.
    """

    def __init__(
        self,
        data_folder,
        cache_folder,
        seed,
        batch_size,
        valid_items,
        valid_batch_size,
        stack,
        embedded_snr_db=None,
    ):
        self.seed = check_int("seed", seed, low=0)
        self.batch_size = check_int("batch_size", batch_size, low=1)
        self.valid_items = check_int("valid_items", valid_items, low=1)
        self.valid_batch_size = check_int(
            "valid_batch_size", valid_batch_size, low=1
        )
        self.stack = check_int("stack", stack, low=1)
        self.folders = data_folder, cache_folder
        self.settings = FeatureSettings(
            snr_db=embedded_snr_db if data_folder is None else None
        )

    # Read when they are first asked for: a YAML file loads without data.
    @cached_property
    def splits(self):
        """(split -> Split, fingerprint of all that is in them)."""
        words, digest = load_words(*self.folders, self.settings)
        items = self.choose(words)
        splits = {k: Split(words[k], items[k], self.stack) for k in items}
        count = len(splits["train"].items)
        if count < self.batch_size:
            raise UserError(
                "`batch_size` must be at most the number of training items, "
                f"{count}, got {self.batch_size}."
            )
        content = [digest, self.stack, *(s.ids for s in splits.values())]
        text = json.dumps(content).encode()
        return splits, hashlib.sha256(text).hexdigest()[:16]

    @property
    def train(self):
        """Training items."""
        return self.splits[0]["train"]

    @property
    def valid(self):
        """Validation items."""
        return self.splits[0]["valid"]

    @property
    def digest(self):
        """16 hexadecimal digits of the features and how they are used."""
        return self.splits[1]

    def choose(self, words):
        """Items of both splits."""
        train = [[i] for i in range(len(words["train"].ids))]
        valid = evenly(words["valid"], self.valid_items)
        return {"train": train, "valid": [[i] for i in valid]}

    def order(self):
        """Endless lists of indices of training items."""
        generator = torch.Generator().manual_seed(self.seed)
        size, count = self.batch_size, len(self.train.items)
        while True:
            drawn = torch.randperm(count, generator=generator).tolist()
            for start in range(0, count - size + 1, size):
                yield drawn[start : start + size]

    def train_loader(self):
        """Training batches without end, each time from the first one."""
        # Its own generator: the loader must not draw from the global one.
        return DataLoader(
            Stream(self.train, self.order),
            batch_size=None,
            generator=torch.Generator(),
        )

    def valid_loader(self):
        """Validation batches, always the same, by length."""
        lengths = [
            sum(len(self.valid.feats[w]) for w in item)
            for item in self.valid.items
        ]
        order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
        size = self.valid_batch_size
        batches = [
            self.valid.batch(order[start : start + size])
            for start in range(0, len(order), size)
        ]
        return DataLoader(batches, batch_size=None, generator=torch.Generator())

    def expected_order(self, count):
        """Names of the items in each of the first training batches.

        Arguments
        ---------
        count : int
            How many batches.

        Returns
        -------
        list of list of str
        """
        order = self.order()
        return [[self.train.ids[i] for i in next(order)] for _ in range(count)]


class JoinedDigits(DigitWords):
    """Several digits of one speaker an item, for CTC.

    Arguments
    ---------
    data_folder, cache_folder, seed, batch_size, valid_items, \
valid_batch_size, stack :
        As for DigitWords.
    train_items : int
        Training items. Which words are joined does not depend on `seed`.
    words_low : int
        Fewest digits in an item.
    words_high : int
        Most digits in an item.
    """

    def __init__(self, train_items, words_low, words_high, **settings):
        self.train_items = check_int("train_items", train_items, low=1)
        self.low = check_int("words_low", words_low, low=1)
        self.high = check_int("words_high", words_high, low=words_low)
        super().__init__(**settings)

    def choose(self, words):
        """Items of both splits."""
        counts = {"train": self.train_items, "valid": self.valid_items}
        return {
            split: self.join(words[split], count)
            for split, count in counts.items()
        }

    def join(self, words, count):
        """Draws words, again and again all of a speaker in another order."""
        generator = torch.Generator().manual_seed(0)
        members = {}
        for index, group in enumerate(words.groups):
            members.setdefault(group, []).append(index)
        streams = [cycle(group, generator) for group in members.values()]
        items = []
        while len(items) < count:
            stream = streams[len(items) % len(streams)]
            size = torch.randint(
                self.low, self.high + 1, (), generator=generator
            )
            items.append([next(stream) for _ in range(int(size))])
        return items


def cycle(indices, generator):
    """All of some indices in random order, then in another one, and so on."""
    while True:
        for i in torch.randperm(len(indices), generator=generator).tolist():
            yield indices[i]


def evenly(words, count):
    """Indices of some words, as many of each speaker and digit."""
    cells = {}
    for index, cell in enumerate(zip(words.groups, words.digits, strict=True)):
        cells.setdefault(cell, []).append(index)
    # The first of every cell, then the second of every cell, ...
    ranked = sorted(
        (rank, cell, index)
        for cell, members in cells.items()
        for rank, index in enumerate(members)
    )
    return sorted(index for _, _, index in ranked[:count])
