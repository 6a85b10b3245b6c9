"""The options that say how to prune, the same for every command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from leanbrain.checks import UserError
from leanbrain.commands.parser import PRUNING_HELP, Once
from leanbrain.commands.settings import read_settings
from leanbrain.shipped import find_yaml

if TYPE_CHECKING:
    from leanbrain.pruning.host.request import PruningRequest

__all__ = ["add_options", "request_of", "given_without_method"]

# Options that say nothing without a method.
_OF_METHODS = ("set", "total_steps", "pathways", "pathway_key", "brain")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to a command's parser.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of that command alone.
    """
    add = parser.add_argument
    add("--pruning", metavar="METHOD", action=Once, help=PRUNING_HELP)
    add(
        "--set",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="other values for keys of the method",
    )
    add(
        "--pathways",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="names of the sub-networks (default: one)",
    )
    add(
        "--pathway_key",
        metavar="KEY",
        help="item of a batch that names its pathway (default: lang)",
    )
    add(
        "--include",
        nargs="+",
        action="extend",
        metavar="PATTERN",
        help="names of weights to mask, such as 'enc.*'; default: all",
    )
    add(
        "--exclude",
        nargs="*",
        action="extend",
        metavar="PATTERN",
        help="names to leave out; default: output layers, adapters and "
        "discriminators",
    )
    add(
        "--brain",
        metavar="CLASS",
        help="the Brain to prune (default: the first that is fitted)",
    )
    add(
        "--total_steps",
        type=int,
        metavar="N",
        help="optimizer steps of the run (default: counted)",
    )


def given_without_method(options: argparse.Namespace) -> str | None:
    """An option that was given although there is no method to take it."""
    given = [n for n in _OF_METHODS if getattr(options, n) is not None]
    return given[0] if given and options.pruning is None else None


def request_of(options: argparse.Namespace) -> PruningRequest:
    """What the user asks for; checks what needs no import of the host.

    Arguments
    ---------
    options : argparse.Namespace
        As `add_options` describes them.

    Returns
    -------
    PruningRequest

    Raises
    ------
    UserError
        If there is no method, or a setting is none.
    """
    if options.pruning is None:
        raise UserError(
            "`--pruning` must name a method, such as lap, got none."
        )
    settings = read_settings(options.set or [])
    from leanbrain.pruning.host.request import PruningRequest

    names = ("pathways", "pathway_key", "include", "exclude", "brain")
    given = {name: getattr(options, name) for name in (*names, "total_steps")}
    return PruningRequest(
        find_yaml("pruning", options.pruning),
        settings,
        **{key: value for key, value in given.items() if value is not None},
    )
