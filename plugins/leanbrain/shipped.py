"""The YAML files that come with LeanBrain, found by short names.

They lie in `hparams` of the repository, to which `leanbrain/hparams` is a
link there; an installed package holds the files themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

import leanbrain
from leanbrain.checks import UserError, check_known

__all__ = ["find_yaml", "hparams_folder", "named_files"]

StrPath = str | os.PathLike[str]


def hparams_folder(kind: str = "") -> Path:
    """The folder of LeanBrain's own YAML files.

    Arguments
    ---------
    kind : str
        One of its folders: "features", "optimizers", "pruning" or "rules".

    Returns
    -------
    Path
        In a checkout the one of the repository.

    Raises
    ------
    UserError
        If it is not there, as in a checkout without symbolic links.

    Example
    -------
    >>> (hparams_folder("pruning") / "lap.yaml").is_file()
    True
    """
    folder = (Path(leanbrain.__file__).parent / "hparams" / kind).resolve()
    if not folder.is_dir():
        raise UserError(
            f"The package must hold the folder hparams/{kind}, got none in "
            f"{folder.parent} (a checkout must keep symbolic links)."
        )
    return folder


def named_files(kind: str, folder: StrPath | None = None) -> dict[str, Path]:
    """The files of a kind by their short names, sorted.

    Arguments
    ---------
    kind : str
        As for `hparams_folder`.
    folder : path, optional
        Holds the files, in place of LeanBrain's own.

    Returns
    -------
    dict
        Name -> file.

    Example
    -------
    >>> list(named_files("features"))
    ['fbank', 'nmf']
    """
    place = hparams_folder(kind) if folder is None else Path(folder)
    return {path.stem: path for path in sorted(place.glob("*.yaml"))}


def find_yaml(kind: str, given: StrPath, folder: StrPath | None = None) -> Path:
    """The file that a user means by a short name or by a path.

    Arguments
    ---------
    kind : str
        As for `hparams_folder`.
    given : str or path
        A path, which has a folder or ends in ".yaml"; or a name: "lap".
    folder : path, optional
        Where names are looked for, in place of LeanBrain's own folder.

    Returns
    -------
    Path
        The file; of a path as it was given, whether it is there or not.

    Raises
    ------
    UserError
        If no file has that name; offers the nearest ones.

    Example
    -------
    >>> find_yaml("pruning", "mine/lap.yaml").parent.name
    'mine'
    >>> find_yaml("optimizers", "lion").name
    'lion.yaml'
    """
    path = Path(given)
    if path.suffix in (".yaml", ".yml") or path.name != os.fspath(given):
        return path
    files = named_files(kind, folder)
    return files[check_known(f"name in hparams/{kind}", path.name, files)]
