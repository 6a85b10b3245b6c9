"""Keeps results where they are committed: no fewer, and of the same speech."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.rows import Kept, key, read_kept, write_kept

__all__ = ["keep"]


def keep(
    kept: Kept, folder: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Replaces kept results by newer ones that hold all their rows.

    They must be of the same test utterances.

    Arguments
    ---------
    kept : Kept
        The new results.
    folder : path
        Where those of the same name lie, if there are any.
    force : bool
        Whether rows may vanish, or be of other utterances.

    Returns
    -------
    Path
        The file, as `write_kept` returns it.

    Raises
    ------
    UserError
        If rows would vanish or be of other utterances, or if what is there
        cannot be read; nothing has been written then.
    """
    path = Path(folder) / f"compare_{kept.name}.json"
    if not force and path.with_suffix(".csv").exists():
        old, new = read_kept(path), _names(kept)
        lost = [x for x in _names(old) if x not in new]
        if lost:
            raise UserError(
                f"The kept results {path.with_suffix('.csv')} must not lose "
                f"rows (--force lets them), got results without {len(lost)} of "
                f"them, such as {lost[0]}."
            )
        _check_speech(path, *(x.utterances.get("ids", {}) for x in (old, kept)))
    return write_kept(kept, folder)


def _check_speech(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Refuses results of other data under the name of the suite."""
    others = [
        language for language in old if old[language] != new.get(language)
    ]
    if others:
        raise UserError(
            f"The kept results {path.with_suffix('.csv')} must stay those of "
            "their test utterances (--force replaces them), got others of "
            f"{', '.join(others)}."
        )


def _names(kept: Kept) -> list[str]:
    """The rows by name."""
    return [key(x["method"], x["sparsity"], x["seed"]) for x in kept.rows]
