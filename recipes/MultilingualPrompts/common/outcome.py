"""What a run leaves behind: result.json, utterances.json and masks.pt."""

from pathlib import Path

from pruners import method_name
from speechbrain.utils.distributed import if_main_process

from leanbrain.files import write_json
from leanbrain.masking.targets import select_targets
from leanbrain.provenance import commit, host_facts, versions
from leanbrain.pruning.flops.meter import CostMeter
from leanbrain.pruning.host.checkpoints import steps_of


def mask_facts(pruner):
    """How many weights the pathways keep, and how many in common.

    Arguments
    ---------
    pruner : AdaptivePruner or None
        After training; None of a dense run.

    Returns
    -------
    dict
        "sparsity" is the mean over pathways: weights that no forward pass
        of a pathway uses; "union_sparsity" that of the checkpoint.
    """
    if pruner is None:
        return {
            "sparsity": 0.0,
            "union_sparsity": 0.0,
            "union_density": 1.0,
            "density": {},
            "overlap": {"pathways": [], "matrix": []},
        }
    masks = pruner.masks
    densities = [masks.density(pathway) for pathway in masks.pathways]
    union = masks.union_density()
    return {
        "sparsity": 1.0 - sum(densities) / len(densities),
        "union_sparsity": 1.0 - union,
        "union_density": union,
        "density": {
            pathway: {
                name: masks.density(pathway, name) for name in masks.shapes
            }
            for pathway in masks.pathways
        },
        "overlap": {
            "pathways": list(masks.pathways),
            "matrix": masks.overlap_matrix().tolist(),
        },
    }


def target_weights(hparams):
    """How many weights pruning chooses from; of a dense run, would."""
    if hparams["pruner"] is not None:
        return hparams["pruner"].masks.numel()
    targets = select_targets(hparams["modules"])
    return sum(target.parameter.numel() for target in targets)


def start_steps(hparams):
    """Steps of the dense model that a run starts from; 0 without one."""
    start = hparams["dense_checkpoint"]
    return steps_of(start) if start else 0


def training_flops(hparams, per_batch, batches):
    """Floating-point operations of training.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    per_batch : dict
        Multiply-adds of a full batch by parameter: `max_batch_s` of speech.
    batches : float
        How many full batches those of the training amount to, with their
        padding; speech at other speeds counts as it was spoken.

    Returns
    -------
    float
        Forward and backward passes of all batches at the mean density of the
        steps; a teacher's forward passes too.
    """
    pruner = hparams["pruner"]
    cost = CostMeter() if pruner is None else pruner.cost
    flops = cost.training_flops(per_batch, batches)
    if hparams.get("distillation_weight"):
        flops += 2.0 * batches * sum(per_batch.values())
    return flops


def write_outcome(hparams, errors, valid_cer, steps, flops, seconds):
    """Writes the files of a finished run.

    Arguments
    ---------
    hparams : dict
        The loaded YAML.
    errors : ErrorRates
        Of the test set.
    valid_cer : float
        Mean character error rate of the last validation.
    steps : int
        Optimizer steps done.
    flops : float
        As `training_flops` counts them.
    seconds : float
        Training time, validation included.
    """
    if not if_main_process():
        return
    folder = Path(hparams["output_folder"])
    rates = errors.summary()
    if hparams["pruner"] is not None:
        hparams["pruner"].masks.save(folder / "masks.pt")
    write_json(folder / "utterances.json", errors.utterances())
    result = {
        "method": method_name(hparams),
        **mask_facts(hparams["pruner"]),
        "target_weights": target_weights(hparams),
        "steps": steps,
        "start_steps": start_steps(hparams),
        "seconds": seconds,
        "flops": flops,
        "valid_cer": valid_cer,
        "cer": rates["cer"],
        "wer": rates["wer"],
        "mean_cer": errors.mean_cer(),
        "seed": hparams["seed"],
        "host": host_facts(),
        "versions": versions(),
        "commit": commit(__file__),
        "hparams": (folder / "hyperparams.yaml").read_text(encoding="utf-8"),
    }
    # Last: whoever finds it finds the others too.
    write_json(folder / "result.json", result)
