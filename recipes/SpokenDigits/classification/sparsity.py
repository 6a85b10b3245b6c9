"""The sparse side of the recipe: the run's pruner, and what a run cost."""

import torch
from features import pool_statistics

from leanbrain.pruning.flops.meter import CostMeter, macs
from leanbrain.pruning.host.starting import method_pruner
from leanbrain.shipped import find_yaml

PATHWAY = "all"


def pruner_of(hparams):
    """The pruner that the entry file names; None if it names no `method`."""
    if "method" not in hparams:
        return None
    return method_pruner(hparams, [PATHWAY])


def batch_macs(hparams):
    """Multiply-adds of a full batch in the classifier.

    Arguments
    ---------
    hparams : dict
        With `max_batch_s`, `net`, `modules` and `compute_features`.

    Returns
    -------
    dict
        Name of a weight -> multiply-adds, of `max_batch_s` utterances of one
        second each. Features are not counted: they are computed once.
    """
    net = hparams["net"]
    hop = hparams["compute_features"].get_filter_properties().stride
    count = max(1, round(hparams["max_batch_s"]))
    frames = 1 + net["sample_rate_hz"] // hop
    weight = net["output"].w.weight
    feats = weight.new_zeros(count, frames, net["n_features"])
    valid = torch.ones(count, frames, dtype=torch.bool, device=weight.device)
    modes = {m: m.training for m in net["blocks"].modules()}

    @torch.no_grad()
    def run():
        """A full batch through the classifier."""
        hidden = net["blocks"](feats, valid)
        net["output"](pool_statistics(hidden, valid))

    net["blocks"].eval()  # the statistics of batch norm stay as they are
    try:
        return macs(run, hparams["modules"])
    finally:
        for module, training in modes.items():
            module.training = training


def sparsity_facts(hparams, pruner, batches):
    """What result.json says about weights and FLOPs.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    pruner : AdaptivePruner | None
        After training; None of a dense run.
    batches : float
        How many full batches those of the training amount to.

    Returns
    -------
    dict
        "flops": of the classifier's training, with the padding of its batches,
        at the mean density of its steps; "sparsity" and "density" of the
        masks at its end.
    """
    meter = CostMeter() if pruner is None else pruner.cost
    flops = meter.training_flops(batch_macs(hparams), batches)
    if pruner is None:
        return {"method": None, "sparsity": 0.0, "flops": flops}
    masks = pruner.masks
    return {
        "method": find_yaml("pruning", hparams["method"]).stem,
        "sparsity": 1.0 - masks.density(PATHWAY),
        "flops": flops,
        "target_weights": masks.numel(),
        "density": {n: masks.density(PATHWAY, n) for n in masks.shapes},
    }
