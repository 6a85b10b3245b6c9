"""Items of one or more spoken digits, and batches of them."""

from dataclasses import dataclass, replace

import torch
from torch.nn.utils.rnn import pad_sequence

from leanbrain.checks import UserError


@dataclass(frozen=True)
class Batch:
    """Some items, padded with zeros.

    Arguments
    ---------
    id : list of str
        Names.
    feats : torch.Tensor
        [B, T, C].
    frames : torch.Tensor
        Real frames [B].
    tokens : torch.Tensor
        Digits [B, U].
    counts : torch.Tensor
        Real tokens [B].
    """

    id: list
    feats: torch.Tensor
    frames: torch.Tensor
    tokens: torch.Tensor
    counts: torch.Tensor

    def to(self, device):
        """The same on a device."""
        if self.feats.device == torch.device(device):
            return self
        moved = ("feats", "frames", "tokens", "counts")
        return replace(self, **{k: getattr(self, k).to(device) for k in moved})


class Split:
    """Items of one or more words that can be put into batches.

    Arguments
    ---------
    words : Words
        What items are made of.
    items : list of list of int
        Indices of the words of each item.
    stack : int
        Frames that become one; the last ones that do not fill one are left
        out, word by word.
    """

    def __init__(self, words, items, stack):
        self.words, self.items = words, items
        used = {index for item in items for index in item}
        self.feats = {i: stacked(words.feats[i], stack) for i in used}
        self.ids = ["+".join(words.ids[i] for i in item) for item in items]

    def batch(self, indices):
        """A batch of the items at some indices."""
        items = [self.items[i] for i in indices]
        feats = [torch.cat([self.feats[w] for w in item]) for item in items]
        tokens = [
            torch.tensor([self.words.digits[w] for w in i]) for i in items
        ]
        return Batch(
            [self.ids[i] for i in indices],
            pad_sequence(feats, batch_first=True),
            torch.tensor([len(x) for x in feats]),
            pad_sequence(tokens, batch_first=True),
            torch.tensor([len(x) for x in tokens]),
        )


def stacked(feats, stack):
    """Features [T // stack, stack * C]."""
    frames = len(feats) // stack
    if not frames:
        raise UserError(
            f"every word must have at least `stack` {stack} frames of 10 ms, "
            f"got {len(feats)}."
        )
    return feats[: frames * stack].reshape(frames, -1)
