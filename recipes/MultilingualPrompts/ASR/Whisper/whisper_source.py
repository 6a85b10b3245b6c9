"""Where a pre-trained Whisper comes from: a folder, or a name on the hub."""

import hashlib
import re
from importlib import metadata
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.cells import Input

DEFAULT = "results/whisper/base"
# As in setup.py, which says why.
OLDEST, END_OF = (5, 0), (5, 40)  # of transformers


def check_transformers():
    """Refuses to begin without transformers, or with one that does not fit."""
    try:
        found = metadata.version("transformers")
        import transformers  # noqa: F401  installed is not yet usable
    except ImportError as error:  # PackageNotFoundError is one
        raise UserError(
            "Whisper must have the package transformers "
            f"(pip install 'leanbrain[whisper]'), got: {error}."
        ) from error
    version = tuple(int(x) for x in re.findall(r"\d+", found)[:2])
    if not OLDEST <= version < END_OF:
        raise UserError(
            "Whisper must have transformers "
            f">={'.'.join(map(str, OLDEST))},<{'.'.join(map(str, END_OF))} "
            f"(pip install 'leanbrain[whisper]'), got {found}."
        )


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
