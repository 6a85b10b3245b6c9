"""Model, data and Brain of the toy workload."""

from dataclasses import dataclass

import speechbrain as sb
import torch
from torch.utils.data import DataLoader, IterableDataset

ITEMS, CLASSES, SIZE = 64, 4, 6


@dataclass
class Batch:
    """Some points."""

    id: list
    points: torch.Tensor
    labels: torch.Tensor


class Net(torch.nn.Sequential):
    """Two layers, with all that a restored state can forget."""

    def __init__(self, width, dropout, batch_norm):
        norm = torch.nn.BatchNorm1d(width)
        super().__init__(
            torch.nn.Linear(SIZE, width),
            norm if batch_norm else torch.nn.Identity(),
            torch.nn.ReLU(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(width, CLASSES),
        )


class Epoch(IterableDataset):
    """Batches in another order in each epoch; the order is of the seed."""

    def __init__(self, data):
        self.data, self.epoch = data, 0

    def __iter__(self):
        order = self.data.order(self.epoch)
        self.epoch += 1
        return iter([self.data.batch(i) for i in order])


class Clouds:
    """Points around one centre for each class, the same for every seed."""

    digest = "toy"

    def __init__(self, seed, batch_size):
        self.seed, self.batch_size = seed, batch_size
        drawn = torch.Generator().manual_seed(0)
        centres = torch.randn(CLASSES, SIZE, generator=drawn)
        self.labels = torch.arange(ITEMS) % CLASSES
        noise = torch.randn(ITEMS, SIZE, generator=drawn)
        self.points = centres[self.labels] + 0.5 * noise

    def order(self, epoch):
        """Lists of items, one for each batch of an epoch."""
        drawn = torch.Generator().manual_seed(1000 * self.seed + epoch)
        items = torch.randperm(ITEMS, generator=drawn)
        return items.split(self.batch_size)

    def batch(self, items):
        """The items as a batch."""
        names = [str(int(i)) for i in items]
        return Batch(names, self.points[items], self.labels[items])

    def train_loader(self):
        """One epoch at a time."""
        return DataLoader(Epoch(self), batch_size=None)

    def valid_loader(self):
        """All items, in their own order."""
        items = torch.arange(ITEMS).split(self.batch_size)
        return DataLoader([self.batch(i) for i in items], batch_size=None)

    def expected_order(self, n):
        """The names in the first n batches."""
        order, epoch = [], 0
        while len(order) < n:
            order += [self.batch(i).id for i in self.order(epoch)]
            epoch += 1
        return order[:n]


class ToyBrain(sb.Brain):
    """A classifier."""

    def compute_forward(self, batch, stage):
        """Points to scores."""
        return self.modules.model(batch.points.to(self.device))

    def compute_objectives(self, predictions, batch, stage):
        """Cross-entropy."""
        labels = batch.labels.to(self.device)
        if stage != sb.Stage.TRAIN:
            wrong = predictions.argmax(-1) != labels
            self.wrong += int(wrong.sum())
            self.seen += len(labels)
        return torch.nn.functional.cross_entropy(predictions, labels)

    def on_stage_start(self, stage, epoch=None):
        """Counts anew."""
        self.wrong = self.seen = 0

    def stage_metrics(self, stage, stage_loss):
        """Share of wrong answers."""
        return {"error_percent": 100.0 * self.wrong / self.seen}
