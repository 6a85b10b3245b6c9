"""What a trial's result depends on, as short hashes."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from importlib import metadata
from pathlib import Path

from leanbrain.digests.python_files import imported_files, python_digest
from leanbrain.digests.yaml_files import words_of, yaml_digest

__all__ = ["code_digest", "workload_digest"]

PACKAGES = (
    "torch",
    "speechbrain",
    "numpy",
    "schedulefree",
    "pytorch-optimizer",
)
"""Whose code trains: other versions, other trials."""

_TAG = re.compile(r"^!\w+:([\w.]+)$")
_DOTTED = re.compile(r"^[^\W\d]\w*(\.\w+)+$")


@functools.lru_cache
def code_digest() -> str:
    """Hashes the code that trials run: other code, other trials.

    Returns
    -------
    str
        16 hexadecimal digits of the sources of LeanBrain's trials and
        optimizers and of the versions of what they stand on.
    """
    package = Path(__file__).resolve().parents[1]
    files = [
        file
        for folder in ("optimizers", "trials")
        for file in sorted((package / folder).glob("*.py"))
    ]
    return _hash(
        [file.name for file in files],
        python_digest(files),
        [[name, _version(name)] for name in PACKAGES],
    )


def workload_digest(folder: Path, path: Path) -> str:
    """Hashes what a workload is made of: other sources, other trials.

    Arguments
    ---------
    folder : Path
        The folder of its recipe.
    path : Path
        Its YAML file.

    Returns
    -------
    str
        16 hexadecimal digits of what the YAML says and of what the modules in
        `folder` do that it names, with those that they import from there.
        Comments, docstrings and files of other workloads do not count.

    Raises
    ------
    UserError
        If one of the files cannot be read.
    """
    names = [name for word in words_of(path) for name in _named_by(word)]
    files = imported_files(folder, names)
    return _hash(
        yaml_digest([path]),
        [file.relative_to(folder).as_posix() for file in files],
        python_digest(files),
    )


def _named_by(word: str) -> list[str]:
    """What a tag builds, or a value that is a dotted name."""
    if found := _TAG.match(word):
        return [found.group(1)]
    return [word] if _DOTTED.match(word) else []


def _version(package: str) -> str:
    """The version of a package; "none" without it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _hash(*content: object) -> str:
    """Hashes plain values."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
