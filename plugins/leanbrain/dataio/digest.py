"""By which data are told apart in results: a hash of manifests and audio."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.dataio.audio_survey import survey
from leanbrain.dataio.manifests import find_data_root
from leanbrain.tables import read_csv

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
        The files, relative to it. The audio that manifests among them (CSV
        files) name counts as well.

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
        if path.suffix == ".csv":
            digest.update(_audio_digest(path).encode())
    return digest.hexdigest()[:16]


def _audio_digest(table: Path) -> str:
    """The hashes of all audio files of a manifest, in its order."""
    try:
        rows, root = read_csv(table), find_data_root(table)
    except UserError:  # whatever prepares the data says what is wrong
        return ""
    paths = [row["wav"].replace("{data_root}", str(root)) for row in rows]
    found = survey(paths, root)
    return " ".join(found[path].digest for path in paths)
