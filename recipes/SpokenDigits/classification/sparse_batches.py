"""How much speech a run's batches will hold, before it is trained."""

from pathlib import Path

from data import at_speeds, share_of, train_sampler

from leanbrain.dataio.manifests import read_manifest
from leanbrain.pruning.flops.batch_seconds import full_batches


def batches_of(hparams, data, steps, epochs):
    """How many full batches those of a run amount to.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, with the run's seed.
    data : path
        Folder of train.csv.
    steps, epochs : int
        Length of the run.

    Returns
    -------
    float
    """
    # Prepared manifests are sorted by ID: a batch is a list of positions.
    table = dict(sorted(read_manifest(Path(data) / "train.csv").items()))
    table = share_of(table, hparams["train_share"], hparams["seed"])
    table = at_speeds(table, hparams["speeds"])
    sampler = train_sampler(hparams, table, steps // epochs)
    return full_batches(sampler, epochs)
