"""Keeps results where they are committed: never fewer than there were."""

from __future__ import annotations

import os
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.rows import Kept, key, read_kept, write_kept

__all__ = ["keep"]


def keep(
    kept: Kept, folder: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Replaces kept results by newer ones that hold all their rows.

    Arguments
    ---------
    kept : Kept
        The new results.
    folder : path
        Where those of the same name lie, if there are any.
    force : bool
        Whether rows may vanish.

    Returns
    -------
    Path
        The file, as `write_kept` returns it.

    Raises
    ------
    UserError
        If rows would vanish, or if what is there cannot be read; nothing has
        been written then.
    """
    path = Path(folder) / f"compare_{kept.name}.json"
    if not force and path.with_suffix(".csv").exists():
        new = _names(kept)
        lost = [x for x in _names(read_kept(path)) if x not in new]
        if lost:
            raise UserError(
                f"The kept results {path.with_suffix('.csv')} must not lose "
                f"rows (--force lets them), got results without {len(lost)} of "
                f"them, such as {lost[0]}."
            )
    return write_kept(kept, folder)


def _names(kept: Kept) -> list[str]:
    """The rows by name."""
    return [key(x["method"], x["sparsity"], x["seed"]) for x in kept.rows]
