"""Which pruner a run has, and what it starts from."""

from leanbrain.checkpointing import add_state
from leanbrain.pruning.host import starting
from leanbrain.pruning.host.starting import method_pruner
from leanbrain.shipped import find_yaml


def method_name(hparams):
    """What a run is called in results: its method's name."""
    if "method" in hparams:
        return find_yaml("pruning", hparams["method"]).stem
    if hparams["pruner"] is None:
        return "dense"
    return hparams.get("method_name", "adaptive")


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
    return method_pruner(hparams, hparams["languages"])


def connect_pruner(hparams, brain):
    """Attaches the pruner; a dense run's monitor is saved without one."""
    starting.connect_pruner(hparams["pruner"], brain, hparams)
    if hparams["pruner"] is None:
        add_state(hparams["checkpointer"], "monitor", hparams["monitor"])
