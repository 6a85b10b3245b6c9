"""What a trial's result depends on, as short hashes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from leanbrain.checks import UserError

__all__ = ["MANIFESTS", "code_digest", "data_digest", "sources_digest"]

PACKAGES = (
    "torch",
    "speechbrain",
    "numpy",
    "schedulefree",
    "pytorch-optimizer",
)
"""Whose code trains: other versions, other trials."""

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


@functools.lru_cache
def code_digest() -> str:
    """Hashes the code that trials run: other code, other trials.

    Returns
    -------
    str
        16 hexadecimal digits of the sources of LeanBrain's trials and
        optimizers and of the versions of what they stand on.
    """
    digest = hashlib.sha256()
    package = Path(__file__).resolve().parents[1]
    for folder in ("optimizers", "trials"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.name.encode())
            digest.update(file.read_bytes())
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "none"
        digest.update(f"{name} {version}".encode())
    return digest.hexdigest()[:16]


def sources_digest(folder: Path) -> str:
    """Hashes what a workload is made of: other sources, other trials.

    Arguments
    ---------
    folder : Path
        The folder of its recipe.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    files = [*folder.glob("*.py"), *folder.glob("hparams/**/*.yaml")]
    # Trials do not run the script by which a user trains one workload.
    files = [x for x in files if x.name != "train.py"]
    for file in sorted(files):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
