"""What a trial's result depends on, as short hashes."""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path

__all__ = ["code_digest", "sources_digest"]

PACKAGES = (
    "torch",
    "speechbrain",
    "numpy",
    "schedulefree",
    "pytorch-optimizer",
)
"""Whose code trains: other versions, other trials."""


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
