"""Where a pre-trained Whisper comes from: a folder, or a name on the hub."""

import hashlib
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.cells import Input

DEFAULT = "results/whisper/base"


def check_place(source):
    """Refuses a folder that is not there.

    Arguments
    ---------
    source : str
        A folder or a name on the hub.
    """
    looks_like_folder = Path(source).is_absolute() or source.count("/") != 1
    if not Path(source).is_dir() and looks_like_folder:
        raise UserError(
            "`whisper_source` must be a folder that `python "
            "whisper_prepare.py` makes, or a name on the hub, got no folder "
            f"{source}."
        )


def as_input(source):
    """What the runs of a comparison are given.

    Arguments
    ---------
    source : str
        A folder, which is known by the content of its files; or a name on the
        hub.

    Returns
    -------
    Input
    """
    check_place(source)
    folder = Path(source)
    if not folder.is_dir():
        return Input("whisper_source", source, source)
    digest = hashlib.sha256()
    for path in sorted(x for x in folder.iterdir() if x.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    value = str(folder.resolve())
    return Input("whisper_source", value, digest.hexdigest()[:16])
