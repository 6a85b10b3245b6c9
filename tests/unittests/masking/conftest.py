"""A small model, its switch, and theta kept by hand beside it."""

import pytest
import torch
from torch import nn

from leanbrain.masking import MaskSet, PathwaySwitch, select_targets


class Net(nn.Module):
    """Linear, attention, LSTM, a raw parameter and a tied weight."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.raw = nn.Parameter(torch.randn(5, 6))
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.linear.weight

    def forward(self, x):
        x = torch.tanh(self.linear(x))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.lstm(x)[0] @ self.raw
        return self.tied(x)


class Rig:
    """A model, its switch, and theta as it was at first."""

    PATHWAYS = ("en", "fr", "it")

    def __init__(self, pathways=PATHWAYS, masked=True, dtype=torch.float64):
        torch.manual_seed(0)
        self.net = Net().to(dtype)
        self.targets = select_targets(self.net)
        self.masks = MaskSet.from_targets(self.targets, pathways)
        self.theta = {
            t.name: t.parameter.detach().clone() for t in self.targets
        }
        self.switch = PathwaySwitch(self.targets, self.masks)
        if masked:
            self.randomize()
            self.switch.refresh()

    @staticmethod
    def draw(shape, seed):
        """Uniform in [0, 1)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(shape, generator=generator)

    def randomize(self, seed=0, density=0.4):
        """New masks for all; the switch is not told."""
        self.randomize_masks(self.masks, seed, density)

    @staticmethod
    def randomize_masks(masks, seed=0, density=0.4):
        """New masks for all pathways and parameters of a MaskSet."""
        for i, pathway in enumerate(masks.pathways):
            for j, (name, shape) in enumerate(masks.shapes.items()):
                drawn = Rig.draw(shape, 1000 * seed + 50 * i + j)
                masks.set(pathway, name, drawn < density)

    def new_model(self):
        """A plain model of the same kind, with other weights."""
        torch.manual_seed(1)
        return Net().to(self.net.raw.dtype)

    def mask(self, state, name):
        if state == "dense":
            return torch.ones_like(self.masks.get(self.masks.pathways[0], name))
        of = self.masks.pathways if state == "rest" else [state]
        return torch.stack([self.masks.get(p, name) for p in of]).any(0)

    @torch.no_grad()
    def write(self, new):
        """Overwrites the parameters in place, as others may."""
        for target in self.targets:
            target.parameter.copy_(new[target.name])

    def check(self, state="rest", theta=None):
        """Parameters and dense copy are what the state and theta say."""
        theta = self.theta if theta is None else theta
        assert self.switch.state == state
        for target in self.targets:
            mask = self.mask(state, target.name)
            wanted = torch.where(mask, theta[target.name], 0.0)
            assert torch.equal(target.parameter.detach(), wanted), target.name
        if state != "dense":
            for target in self.targets:
                held = self.switch.dense(target.name)
                assert torch.equal(held, theta[target.name]), target.name


@pytest.fixture
def make_rig():
    """The class, for tests that need another rig than the usual one."""
    return Rig


@pytest.fixture
def rig():
    """Three pathways with independent masks, float64."""
    return Rig()
