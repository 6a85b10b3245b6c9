"""Says where LeanBrain's own YAML files are, and copies them to a recipe.

  leanbrain hparams              the folder
  leanbrain hparams --list       all names
  leanbrain hparams lap          the file of a name
  leanbrain hparams adaptive --copy hparams/pruning

copies a file to where hparams/train.yaml can include it, by
`!include:pruning/adaptive.yaml`; files that it includes itself come along.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from leanbrain.checks import UserError, check_known
from leanbrain.commands.in_the_way import check_free
from leanbrain.files import write_text
from leanbrain.shipped import hparams_folder, named_files

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument(
        "names", nargs="*", metavar="name", help="such as lap, lion, nmf"
    )
    parser.add_argument("--list", action="store_true", help="print all names")
    parser.add_argument(
        "--copy", type=Path, metavar="FOLDER", help="where to copy the files to"
    )


def main(options: argparse.Namespace) -> int:
    """Prints folder, names or files, or copies files.

    Arguments
    ---------
    options : Namespace
        As `add_arguments` has them.

    Returns
    -------
    int
        0.

    Raises
    ------
    UserError
        If a name is unknown, or another file is in the way of a copy.
    """
    kinds = sorted(x.name for x in hparams_folder().iterdir() if x.is_dir())
    if options.list:
        for kind in kinds:
            print(f"{kind}: {', '.join(named_files(kind))}")
        return 0
    known = {n: f for kind in kinds for n, f in named_files(kind).items()}
    files = [known[check_known("name", x, known)] for x in options.names]
    if options.copy is None:
        for file in files or [hparams_folder()]:
            print(file)
    elif files:
        _copy(files, options.copy)
    else:
        raise UserError("`--copy` must come with names, such as lap, got none.")
    return 0


def _copy(files: list[Path], folder: Path) -> None:
    """Copies files, unless one is in the way; prints where they are."""
    texts: dict[str, str] = {}
    for file in files:
        _add(file, texts)
    for name, text in texts.items():
        check_free(folder / name, text, "copy")
    for name, text in texts.items():
        write_text(folder / name, text)
        print(folder / name)


def _add(file: Path, texts: dict[str, str]) -> None:
    """Adds a file and those that it includes, all of one folder."""
    texts[file.name] = file.read_text(encoding="utf-8")
    for name in re.findall(r"!include:(\S+)", _code_of(texts[file.name])):
        if name not in texts:
            _add(file.with_name(name), texts)


def _code_of(text: str) -> str:
    """A YAML without its comments."""
    return re.sub(r"(^|\s)#.*", "", text)
