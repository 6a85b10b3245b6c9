"""Tensors and masks by seed, for tests of mask-aware layers."""

import torch

from leanbrain.masking import MaskSet, select_targets


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator)


def random_masks(modules, pathways, density=0.5, exclude=()):
    """Masks of all weights that can have one, another for each pathway."""
    targets = select_targets(modules, exclude=list(exclude))
    masks = MaskSet.from_targets(targets, pathways)
    for i, pathway in enumerate(pathways):
        for j, target in enumerate(targets):
            noise = drawn(*target.parameter.shape, seed=100 * i + j)
            keep = max(1, int(density * noise.numel()))
            bar = noise.flatten().kthvalue(keep).values
            masks.set(pathway, target.name, noise <= bar)
    return masks
