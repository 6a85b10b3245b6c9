"""What a sparse training will cost, found by a rehearsal without data."""

import copy

import torch
from sparsity import METHODS, PATHWAY, batch_macs

from leanbrain.pruning.starting import make_pruner, method_file

# So many steps say what a step costs: the share of dense gradients, of
# frozen masks and of every sparsity is that of a longer run.
REHEARSED_STEPS = 400


def flops_per_step(hparams, method, sparsity, seed=0):
    """Counts the FLOPs of a short run with gradients that mean nothing.

    Arguments
    ---------
    hparams : dict
        The loaded pruned.yaml; its modules stay as they are.
    method : Method
        Of the suite.
    sparsity : float
        Of the target weights, in the end.
    seed : int
        Of the gradients.

    Returns
    -------
    float
        FLOPs of an optimizer step, the mean of the run.
    """
    steps = REHEARSED_STEPS
    pruner = make_pruner(
        method_file(method.method, METHODS),
        {**hparams["pruning"], **method.settings, "sparsity": sparsity},
        seed,
        total_steps=steps,
        pathways=[PATHWAY],
    )
    # The gradient hooks of a pruner stay for good: a copy has them.
    pruner.manage(copy.deepcopy(torch.nn.ModuleDict(hparams["modules"])))
    weights = [target.parameter for target in pruner.targets]
    optimizer = torch.optim.SGD(weights, lr=0.0)
    pruner.watch(optimizer)
    generator = torch.Generator().manual_seed(seed)
    pruner.start()
    for _ in range(steps):
        pruner.enter(None)
        loss = 0.0
        for weight in weights:
            noise = torch.randn(weight.shape, generator=generator)
            loss = loss + (weight * noise).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        pruner.leave()
        pruner.finish_step()
    return pruner.cost.training_flops(batch_macs(hparams)) / steps
