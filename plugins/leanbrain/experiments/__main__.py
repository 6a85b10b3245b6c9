"""`python -m leanbrain.experiments ROOT`: what a folder of trials holds."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from leanbrain._host import user_errors
from leanbrain.checks import UserError
from leanbrain.experiments.ledger import Ledger

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Counts the trials of a folder by status; mends its ledger if asked to.

    Arguments
    ---------
    arguments : Sequence[str] | None
        ROOT [--repair]; None takes those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m leanbrain.experiments", description=main.__doc__
    )
    parser.add_argument("root", type=Path, help="folder of the experiment")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="write the ledger anew from its good lines and the trials' own "
        "records; bad lines are kept beside it",
    )
    options = parser.parse_args(arguments)
    with user_errors():
        if not options.root.is_dir():
            raise UserError(f"The folder {options.root} does not exist.")
        ledger = Ledger(options.root)
        if options.repair:
            ledger.repair()
        rows = ledger.read()
        for status, count in sorted(Counter(x["status"] for x in rows).items()):
            print(f"{status}: {count}")
        print(f"{len(rows)} trials, {len(ledger.problems)} damaged lines")


if __name__ == "__main__":
    main()
