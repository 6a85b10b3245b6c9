"""Which pruner a run has, and what it starts from."""

from pathlib import Path

from leanbrain.checkpointing import add_state
from leanbrain.pruning.checkpoints import (
    newest_checkpoint,
    require_dense,
    require_pruned,
)
from leanbrain.pruning.starting import load_dense, make_pruner, method_file

METHODS = Path(__file__).resolve().parents[4] / "hparams" / "pruning"


def method_name(hparams):
    """What a run is called in results: its method's name."""
    if "method" in hparams:
        return method_file(hparams["method"], METHODS).stem
    return "dense" if hparams["pruner"] is None else "adaptive"


def pruner_of(hparams):
    """The pruner of an entry file: its own, or that of its `method`.

    Arguments
    ---------
    hparams : dict
        The loaded YAML. With `method`, the keys of `pruning` replace those
        of the method's file.

    Returns
    -------
    AdaptivePruner or None
    """
    if "method" not in hparams:
        return hparams["pruner"]
    return make_pruner(
        method_file(hparams["method"], METHODS),
        hparams["pruning"],
        hparams["seed"],
        total_steps=hparams["total_steps"],
        pathways=hparams["languages"],
    )


def connect_pruner(hparams, brain):
    """Attaches the pruner, or makes sure that a dense run stays dense."""
    own = hparams["save_folder"]
    if hparams["pruner"] is None:
        require_dense(own)
        add_state(hparams["checkpointer"], "monitor", hparams["monitor"])
        return
    require_pruned(own)
    if hparams["dense_checkpoint"] and newest_checkpoint(own) is None:
        load_dense(hparams["model"], hparams["dense_checkpoint"])
    hparams["pruner"].attach(brain, hparams["monitor"])
