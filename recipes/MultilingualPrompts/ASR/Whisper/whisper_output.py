"""Where a Whisper goes: its folder is complete or absent."""

import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_json

SUMMARY = "source.json"  # the last that is written


def is_complete(folder):
    """Whether a folder was written here."""
    return (Path(folder) / SUMMARY).is_file()


def source_of(folder):
    """Where the weights of a complete folder are from."""
    facts = read_json(Path(folder) / SUMMARY)
    if not isinstance(facts, dict) or "source" not in facts:
        raise not_empty(folder)
    return facts["source"]


def not_empty(folder, what=""):
    """The error of a folder that holds something else."""
    return UserError(
        f"`--output_folder` must be new or empty, got {folder}{what}."
    )


@contextmanager
def new_folder(target):
    """Gives a temporary folder that becomes `target` when the block ends well.

    Arguments
    ---------
    target : path
        Must not exist, or be empty. If another process completes it
        meanwhile, it stays as that one wrote it.

    Yields
    ------
    Path
        An empty folder beside it.
    """
    target = Path(os.path.realpath(target))  # a link stays one
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise not_empty(target)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        move(temporary, target)
    except OSError as error:
        raise UserError(
            f"The folder {target} cannot be written "
            f"({error.strerror or error})."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move(temporary, target):
    """Puts a folder in its place, unless another process was faster."""
    try:
        os.replace(temporary, target)
    except OSError:
        if is_complete(target):
            return
        raise


def write_summary(folder, source, model_sha256=None):
    """Notes where the weights are from; its presence says: complete."""
    from transformers import __version__

    facts = {"source": source, "transformers": __version__}
    if model_sha256:
        facts["sha256"] = model_sha256
    write_json(Path(folder) / SUMMARY, facts)
