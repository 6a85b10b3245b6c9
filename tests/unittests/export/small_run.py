"""A run as `attach` leaves it, without training anything."""

from functools import partial

import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.pruning.host.attach import register
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.schedules import constant


class Network(torch.nn.ModuleDict):
    """Layers that are pruned, one that is not, and a tied weight."""

    def __init__(self):
        super().__init__()
        self["first"] = torch.nn.Linear(3, 6)
        self["norm"] = torch.nn.BatchNorm1d(6)
        self["second"] = torch.nn.Linear(6, 3)
        self["tied"] = torch.nn.Linear(3, 6)
        self["tied"].weight = self["first"].weight


class SmallRun:
    """Two files of pruned modules and one of a module that is not."""

    def __init__(self, folder, pathways=("en", "fr"), modules=None):
        self.folder = folder
        self.encoder, self.decoder = Network(), torch.nn.Linear(6, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.saved = modules or {
            "model": torch.nn.ModuleList([self.encoder, self.norm]),
            "decoder": self.decoder,
            "normalizer": self.norm,
        }
        self.pruner = AdaptivePruner(
            partial(constant, sparsity=0.5),
            10,
            1,
            pathways=pathways,
            update=None,
            exclude=(),
        )
        self.pruner.manage({"enc": self.encoder, "dec": self.decoder})
        self.checkpointer = Checkpointer(folder / "save", dict(self.saved))
        register(self.pruner, self.checkpointer)
        self.settle()

    def settle(self):
        """Sets masks at random, as if a run had found them."""
        noise = torch.Generator().manual_seed(1)
        masks = self.pruner.masks
        for pathway in masks.pathways:
            for name, shape in masks.shapes.items():
                kept = torch.rand(shape, generator=noise) < 0.5
                masks.set(pathway, name, kept)
        self.pruner.switch.refresh()
        self.pruner.settled = set(masks.pathways)
        self.pruner.frozen = True

    def save(self, frozen=True, **meta):
        """Saves a checkpoint of other weights; returns its folder."""
        self.pruner.step += 1
        self.pruner.frozen = frozen
        return self.checkpointer.save_checkpoint(meta=meta).path

    def shown(self, pathway):
        """What each file holds of a pathway: what it is evaluated with."""
        with self.pruner.switch.pathway(pathway):
            return {
                name: {k: v.clone() for k, v in x.state_dict().items()}
                for name, x in self.saved.items()
            }
