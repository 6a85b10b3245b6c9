"""What a sparse training will cost, found by a rehearsal without data."""

import copy

import torch
from sparsity import PATHWAY, batch_macs

from leanbrain.pruning.host.starting import make_pruner
from leanbrain.shipped import find_yaml


def flops_per_step(hparams, method, sparsity, steps, seed=0):
    """Counts the FLOPs of a run with gradients that mean nothing.

    Arguments
    ---------
    hparams : dict
        The loaded pruned.yaml; its modules stay as they are.
    method : Method
        Of the suite.
    sparsity : float
        Of the target weights, in the end.
    steps : int
        Length of the run: when masks change, and how often gradients are
        dense, depends on it.
    seed : int
        Of the gradients.

    Returns
    -------
    float
        FLOPs of an optimizer step with a full batch, the mean of the run.
    """
    pruner = make_pruner(
        find_yaml("pruning", method.method),
        {**hparams["pruning"], **method.settings, "sparsity": sparsity},
        seed,
        total_steps=steps,
        pathways=[PATHWAY],
    )
    # The gradient hooks of a pruner stay for good: a copy has them.
    pruner.manage(copy.deepcopy(torch.nn.ModuleDict(hparams["modules"])))
    pruner.try_first()  # the first step is dense, as in training
    weights = [target.parameter for target in pruner.targets]
    optimizer = torch.optim.SGD(weights, lr=0.0)
    pruner.watch(optimizer)
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.randn(x.shape, generator=generator) for x in weights]
    pruner.start()
    for _ in range(steps):
        pruner.enter(None)
        # The gradient of this sum is the noise; it passes the pruner's hooks.
        torch.autograd.backward(weights, noise)
        optimizer.step()
        optimizer.zero_grad()
        pruner.leave()
        pruner.finish_step()
    return pruner.cost.training_flops(batch_macs(hparams)) / steps
