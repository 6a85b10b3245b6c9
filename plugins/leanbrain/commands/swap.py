"""Puts another optimizer into a recipe's YAML, without touching its code.

  leanbrain swap hparams/train.yaml lion
  leanbrain swap hparams/train.yaml lion --set lr=3e-4 --keys opt_class

Writes hparams/train_lion.yaml, unless another file is there;
`leanbrain hparams --list` has all names.
HyperPyYAML merges overrides into a node and keeps its class: on the command
line of a recipe its optimizer's settings can be changed, never the optimizer.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.commands.in_the_way import check_free
from leanbrain.files import read_text, write_text

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser."""
    parser.add_argument("recipe", type=Path, help="YAML of a recipe")
    parser.add_argument(
        "optimizer",
        help="the name of one of LeanBrain's optimizers, such as lion, or a "
        "YAML file",
    )
    parser.add_argument("-o", "--out", help="where to write")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="settings",
        metavar="KEY=NUMBER",
        help="settings in place of the optimizer file's",
    )
    parser.add_argument("--keys", nargs="+", help="which optimizers (all)")
    parser.add_argument(
        "--keep-lr", action="store_true", help="keep the recipe's rate"
    )


def main(options: argparse.Namespace) -> int:
    """Writes the new recipe next to the old one.

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
        If a file is missing or wrong, the recipe has no such optimizer, or
        another file is in the way of the new recipe.
    """
    overrides = dict(_pair(text) for text in options.settings)
    text = read_text(options.recipe, "recipe").replace("\r\n", "\n")

    from leanbrain.optbench.optimizers.specs import load_optimizer
    from leanbrain.optbench.swap.swapping import swap_optimizer

    spec = load_optimizer(options.optimizer, overrides=overrides)
    path = _destination(options.recipe, options.out, spec.name, text)
    swap = swap_optimizer(text, spec, options.keys, keep_lr=options.keep_lr)
    check_free(path, swap.text, "new recipe")
    write_text(path, swap.text)
    for key, line in swap.replaced.items():
        print(f"{key}: {line}")
    for line in swap.warnings:
        print(f"warning: {line}")
    print(f"written: {path}")
    return 0


def _pair(text: str) -> tuple[str, float]:
    """Reads `key=number` of the command line."""
    key, _, value = text.partition("=")
    try:
        return key, float(value)
    except ValueError:
        raise UserError(
            f"`--set` must be `key=number`, got {text!r}."
        ) from None


def _destination(recipe: Path, out: str | None, name: str, text: str) -> Path:
    """Chooses where to write, never over the recipe."""
    default = recipe.with_name(f"{recipe.stem}_{name}{recipe.suffix}")
    path = default if out is None else Path(out)
    if path.resolve() == recipe.resolve():
        raise UserError(f"`-o` must be another file than the recipe {recipe}.")
    elsewhere = path.resolve().parent != recipe.resolve().parent
    if elsewhere and "!include:" in text:
        raise UserError(
            "`-o` must be in the recipe's folder, as the recipe includes "
            f"files from there, got {path}."
        )
    return path
