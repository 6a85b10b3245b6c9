"""`leanbrain <command>`, also as `python -m leanbrain <command>`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from leanbrain import __version__, user_errors
from leanbrain.commands.parser import Parser

__all__ = ["main"]

# The modules of leanbrain.commands; only the one that is called is imported.
COMMANDS = {
    "inspect": "print what of a recipe's model can be pruned, and how",
    "run": "train a stock recipe with a pruner, without editing it",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Arguments
    ---------
    arguments : Sequence[str] | None
        The command and its options; None takes those of the process.

    Returns
    -------
    int
        The exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with user_errors():
        # What follows the command is for its own parser.
        name = _parser().parse_args(given[:1]).command
        command = import_module(f"leanbrain.commands.{name}")
        parser = _parser_of(name, command)
        # What is no option of ours is one of the recipe's.
        options, rest = parser.parse_known_args(given[1:])
        return int(command.main(options, rest))


def _parser() -> argparse.ArgumentParser:
    """What stands before a command, and the list of commands."""
    listed = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
    parser = Parser(
        prog="leanbrain",
        usage="leanbrain <command> ...",
        description="Lean models, training and features for SpeechBrain.",
        epilog=f"commands:\n{listed}\n\n"
        "`leanbrain <command> --help` says more.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    parser.add_argument(
        "command", choices=COMMANDS, metavar="command", help=argparse.SUPPRESS
    )
    return parser


def _parser_of(name: str, command: ModuleType) -> argparse.ArgumentParser:
    """The parser of a command's own options."""
    parser = Parser(
        prog=f"leanbrain {name}",
        description=command.__doc__,
    )
    command.add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
