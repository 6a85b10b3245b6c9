"""A small model with tied weights, for tests of the router."""

import torch
from random_masks import drawn
from torch import nn

NAMES = ["en", "ru", "uk"]
X = drawn(4, 7, 8)
ROWS = ["ru", "en", "uk", "ru"]


class Model(nn.Module):
    """Two layers with batch and time, one tied to its neighbour."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.again = nn.Linear(8, 8)
        self.again.weight = self.second.weight
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return self.again(self.norm(self.second(self.first(x).relu())))
