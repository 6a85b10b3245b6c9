"""A front end that learns from the speech before the recogniser does.

Log-mel features do not; `hparams/features/nmf.yaml` does. Nothing here is done
for a front end without a method `fit`.
"""

from pathlib import Path

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from leanbrain.checks import UserError
from leanbrain.files import read_tensors
from leanbrain.nmf.features import NMFFeatures
from leanbrain.nmf.figures import write_figures
from leanbrain.pruning.host.checkpoints import newest_checkpoint

RECOVERABLE = "features"
BATCH = 16  # utterances


def learns(front_end):
    """Whether a front end must be trained before it can be used."""
    return hasattr(front_end, "fit")


def prepare_front_end(hparams, datasets):
    """Trains the front end, or finds it in a checkpoint.

    Arguments
    ---------
    hparams : dict
        The loaded YAML. The front end is added to its modules, so that the
        Brain trains what of it is trainable, and to its checkpoints.
    datasets : dict
        Split -> DynamicItemDataset; the training audio is what it learns.
    """
    front_end = hparams["asr"]["compute_features"]
    if not learns(front_end):
        return
    hparams["modules"][RECOVERABLE] = front_end
    hparams["checkpointer"].add_recoverable(RECOVERABLE, front_end)
    if newest_checkpoint(hparams["save_folder"]) is not None:
        return
    if hparams["dense_checkpoint"]:
        load_front_end(front_end, hparams["dense_checkpoint"])
        return
    front_end.fit(
        loader(datasets["train"], shuffle=True),
        loader(datasets["valid"], shuffle=False),
        logger=hparams["tensorboard"],
    )
    if if_main_process() and isinstance(front_end, NMFFeatures):
        first = datasets["valid"][0]["sig"]
        folder, board = hparams["output_folder"], hparams["tensorboard"]
        write_figures(front_end, first, folder, board)


def loader(dataset, shuffle):
    """Utterances of all languages, mixed."""
    options = {"batch_size": BATCH, "shuffle": shuffle}
    return sb.dataio.dataloader.make_dataloader(dataset, **options)


def load_front_end(front_end, folder):
    """Takes the front end of a dense run: a pruned one starts with it."""
    start = newest_checkpoint(folder)
    path = Path(start or folder) / f"{RECOVERABLE}.ckpt"
    if not path.exists():
        raise UserError(
            "`dense_checkpoint` must be of a run with the same front end, got "
            f"{folder} without {path.name}."
        )
    state = read_tensors(path)
    try:
        front_end.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            "`dense_checkpoint` must be of a run with the same front end, got "
            f"{path}: {reason}"
        ) from error
