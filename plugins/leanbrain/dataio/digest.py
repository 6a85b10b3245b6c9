"""By which data are told apart in results: a hash of their manifests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from leanbrain.checks import UserError

__all__ = ["MANIFESTS", "data_digest"]

MANIFESTS = ("train.csv", "valid.csv")
"""Files by which data are told apart, unless a workload names others."""


def data_digest(folder: str | Path, names: Sequence[str] = MANIFESTS) -> str:
    """Hashes the files of a folder by which its data are told apart.

    Arguments
    ---------
    folder : path
        The folder.
    names : Sequence[str]
        The files, relative to it.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    UserError
        If one of them is missing.
    """
    digest = hashlib.sha256()
    for name in names:
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(
                f"`data_folder` must hold {' and '.join(names)}, got "
                f"{folder}, which has no {name}."
            )
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
