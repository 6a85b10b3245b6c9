"""`leanbrain <command>`, also as `python -m leanbrain <command>`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from leanbrain import __version__, user_errors
from leanbrain.commands.parser import Parser

__all__ = ["main"]


@dataclass(frozen=True)
class Command:
    """What `leanbrain --help` says of a command, and what it takes.

    Arguments
    ---------
    says : str
        What it does.
    passes_on : bool
        Whether words that are no option of its own are the recipe's.
    """

    says: str
    passes_on: bool = False


# The modules of leanbrain.commands; only the one that is called is imported.
COMMANDS = {
    "hparams": Command("say where LeanBrain's own YAML files are, copy them"),
    "inspect": Command(
        "print what of a recipe's model can be pruned, and how", True
    ),
    "run": Command(
        "train a stock recipe with a pruner, without editing it", True
    ),
    "export-pathways": Command(
        "write one model per pathway from the checkpoints of a pruned run"
    ),
    "swap": Command("put another optimizer into a recipe's YAML"),
    "bench-optimizers": Command("time optimizers on the workloads of a suite"),
    "optimizer-report": Command("write the report of such a benchmark again"),
    "trials": Command("count the trials of an experiment, mend its ledger"),
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
        command = _module_of(name)
        parser = _parser_of(name, command)
        if COMMANDS[name].passes_on:
            options, rest = parser.parse_known_args(given[1:])
            return int(command.main(options, rest))
        return int(command.main(parser.parse_args(given[1:])))


def _parser() -> argparse.ArgumentParser:
    """What stands before a command, and the list of commands."""
    width = max(map(len, COMMANDS)) + 2
    listed = "\n".join(f"  {x:{width}}{y.says}" for x, y in COMMANDS.items())
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


def _module_of(name: str) -> ModuleType:
    """The module of a command."""
    return import_module(f"leanbrain.commands.{name.replace('-', '_')}")


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
