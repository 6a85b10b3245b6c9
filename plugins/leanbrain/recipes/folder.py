"""The folder of a run, and whether a run that goes on is still the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.files import make_folder
from leanbrain.recipes.tree import read_tree

__all__ = ["changed_settings", "experiment_folder"]

logger = logging.getLogger(__name__)

_SETTINGS = "hyperparams.yaml"  # SpeechBrain's name of it
_CHECKPOINTS = "*/CKPT+*"  # as are these


@contextmanager
def experiment_folder(path: str | os.PathLike[str]) -> Iterator[None]:
    """Makes the folder of a run; call SpeechBrain's function inside.

    A run that goes on from a checkpoint with other settings than it began
    with says so in one sentence: its results are of both.

    Arguments
    ---------
    path : path
        The output folder.

    Raises
    ------
    UserError
        If the folder cannot be made.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with experiment_folder(f"{folder}/run"):
    ...         pass  # sb.create_experiment_directory(f"{folder}/run", ..)
    """
    import speechbrain as sb

    sb.utils.distributed.run_on_main(make_folder, kwargs={"path": path})
    # Before SpeechBrain writes anew. The first rank alone: others may be late.
    first = sb.utils.distributed.if_main_process()
    before = _settings(Path(path)) if first else None
    yield
    after = _settings(Path(path)) if before is not None else None
    if before is None or after is None:
        return
    changed = changed_settings(before, after)
    if changed:
        logger.warning(
            "The run in %s goes on with other settings than those of its "
            "checkpoints: %s. Its results are of both.",
            path,
            ", ".join(f"{key}: {value}" for key, value in changed.items()),
        )


def changed_settings(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, str]:
    """Lists the scalar settings that differ.

    Arguments
    ---------
    before, after : mapping
        Key -> value, of `read_tree` for example.

    Returns
    -------
    dict
        Key -> both values, in words.

    Example
    -------
    >>> changed_settings({"seed": 1, "lr": 0.1}, {"seed": 2, "lr": 0.1})
    {'seed': '2 instead of 1'}
    """
    missing = object()
    found = {}
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key, missing), after.get(key, missing)
        if any(isinstance(x, Mapping | list) for x in (old, new)):
            continue  # objects are built of scalars that have keys
        if str(old) != str(new):
            words = ("none" if x is missing else str(x) for x in (new, old))
            found[str(key)] = " instead of ".join(words)
    return found


def _settings(folder: Path) -> Mapping[str, Any] | None:
    """What SpeechBrain wrote; None where there is nothing to go on from."""
    file = folder / _SETTINGS
    if not file.is_file() or not any(folder.glob(_CHECKPOINTS)):
        return None
    try:
        tree: Mapping[str, Any] = read_tree(file)
    except UserError:  # half a file, of a run that was killed
        return None
    return tree
