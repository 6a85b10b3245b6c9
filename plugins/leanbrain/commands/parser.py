"""A command line whose errors are one sentence each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from leanbrain.checks import UserError

__all__ = ["PRUNING_HELP", "Once", "Parser"]

PRUNING_HELP = (
    "a pruning method: the name of one of LeanBrain's, such as lap "
    "(`leanbrain hparams --list` has all), or a YAML file"
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong without the usage, and where the help is.

    Options must be spelt out: a recipe may have a key of the short name.

    Example
    -------
    >>> Parser(prog="leanbrain run").parse_args(["--sparsity", "0.5"])
    Traceback (most recent call last):
    ...
    leanbrain.checks.UserError: unrecognized arguments: --sparsity 0.5 \
(`leanbrain run --help` says more)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(
            *args,
            **{
                "formatter_class": argparse.RawDescriptionHelpFormatter,
                "allow_abbrev": False,
                **kwargs,
            },
        )

    def error(self, message: str) -> NoReturn:
        """Raises a UserError in place of printing all options."""
        raise UserError(f"{message} (`{self.prog} --help` says more)")


class Once(argparse.Action):
    """An option that must not be given twice: the first would be lost."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keeps the value, if it is the first."""
        before = getattr(namespace, self.dest, None)
        if before is not None:
            parser.error(
                f"{option_string} must be given once, got {before} and {values}"
            )
        setattr(namespace, self.dest, values)
