"""Writes one model per pathway from the checkpoints of a pruned run.

  leanbrain export-pathways results/my_run

writes results/my_run/pathways/en/model.ckpt, .../fr/model.ckpt and so on: the
files of one checkpoint, with zeros outside the pathway. They load into stock
SpeechBrain (load_state_dict, Pretrainer); LeanBrain and the recipe are not
needed.

The checkpoint is chosen as evaluation does: among those with final masks the
best by the key by which the recipe keeps its best, or the newest. A folder of a
single checkpoint can be given in place of the run's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    add = parser.add_argument
    add("run", type=Path, help="folder of the run, or of one checkpoint")
    add(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the folders of the pathways go (default: pathways in the "
        "folder of the run)",
    )
    add(
        "--pathway",
        nargs="+",
        action="extend",
        dest="pathways",
        metavar="NAME",
        help="which pathways (default: all)",
    )
    add("--min_key", metavar="KEY", help="take the lowest of this, such as WER")
    add("--max_key", metavar="KEY", help="take the highest of this")
    add(
        "--unfinished",
        action="store_true",
        help="take a checkpoint whose masks are not final if there is no other",
    )


def main(options: argparse.Namespace) -> int:
    """Writes the files and says which checkpoint they are of.

    Arguments
    ---------
    options : Namespace
        As `add_arguments` has them.

    Returns
    -------
    int
        0.
    """
    from leanbrain import import_speechbrain

    import_speechbrain()

    from leanbrain.export import export_pathways
    from leanbrain.export.run_folder import choose_checkpoint

    chosen = choose_checkpoint(
        options.run,
        min_key=options.min_key,
        max_key=options.max_key,
        unfinished=options.unfinished,
    )
    # Not inside of a checkpoint, which is deleted when there are better ones.
    run = options.run.parent if options.run == chosen.path else options.run
    output = options.output or run / "pathways"
    written = export_pathways(chosen, output, options.pathways)
    print(f"{chosen.path}: step {chosen.state['step']}, {chosen.why}")
    for name, folder in written.items():
        print(f"{name}: {folder}")
    return 0
