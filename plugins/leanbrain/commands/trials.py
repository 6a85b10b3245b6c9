"""Counts the trials of an experiment's folder by how they ended.

  leanbrain trials results/OptimizerBenchmark/cpu-embedded

With --repair the ledger is written anew from its good lines and the trials' own
records; bad lines are kept beside it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from leanbrain.checks import UserError

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("root", type=Path, help="folder of the experiment")
    parser.add_argument(
        "--repair", action="store_true", help="mend the ledger first"
    )


def main(options: argparse.Namespace) -> int:
    """Prints the counts.

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
        If there is no such folder.
    """
    if not options.root.is_dir():
        raise UserError(f"The folder {options.root} does not exist.")
    from leanbrain.experiments.ledger import Ledger

    ledger = Ledger(options.root)
    if options.repair:
        ledger.repair()
    rows = ledger.read()
    for status, count in sorted(Counter(x["status"] for x in rows).items()):
        print(f"{status}: {count}")
    print(f"{len(rows)} trials, {len(ledger.problems)} damaged lines")
    return 0
