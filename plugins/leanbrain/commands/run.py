"""Runs a training script of SpeechBrain as it is and prunes the Brain it fits.

  leanbrain run train.py hparams/train.yaml \\
      --pruning one_shot --set sparsity=0.8 \\
      --data_folder /data --number_of_epochs 20

  torchrun --nproc_per_node=4 -m leanbrain run train.py hparams/train.yaml \\
      --pruning adaptive --pathways en fr -- --debug

What is not an option of this command goes to the script, and so does
everything after `--`. The same command continues a run that was interrupted.
What a method would do to the model, `leanbrain inspect` says beforehand.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from leanbrain.commands.parser import Parser
from leanbrain.commands.pruning_options import add_options, request_of
from leanbrain.commands.script import check_script, run_script

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments to its parser.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of this command alone.
    """
    parser.add_argument("script", help="the recipe's train.py")
    parser.add_argument("yaml", help="the recipe's hyper-parameters")
    add_options(parser)
    # Takes all that follows; `main` picks this command's options out of it.
    parser.add_argument(
        "overrides",
        nargs=argparse.REMAINDER,
        help="options as above, then those of the recipe itself",
    )


def main(options: argparse.Namespace, rest: Sequence[str] = ()) -> int:
    """Runs the script.

    Arguments
    ---------
    options : argparse.Namespace
        As `add_arguments` describes them.
    rest : Sequence[str]
        Words before the script's name that are none of them: the script's.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    UserError
        If the arguments, or what the script does, cannot be pruned.
    """
    own, overrides = _split(options)
    script, recipe = check_script(own.script, own.yaml)
    request = request_of(own)

    from leanbrain import import_speechbrain

    import_speechbrain()

    from leanbrain.pruning.host.curves import listen
    from leanbrain.pruning.host.stock import StockPruning

    request.check()
    listen()
    stock = StockPruning(request)
    with stock.patching():
        run_script(script, [str(recipe), *rest, *overrides])
    stock.check_done()
    _say(stock.summary())
    return 0


def _split(options: argparse.Namespace) -> tuple[argparse.Namespace, list[str]]:
    """Parts this command's options from those of the script."""
    rest = list(options.overrides)
    cut = rest.index("--") if "--" in rest else len(rest)
    parser = Parser(prog="leanbrain run", add_help=False)
    add_options(parser)
    parser.set_defaults(**vars(options))
    own, others = parser.parse_known_args(rest[:cut])
    return own, [*others, *rest[cut + 1 :]]


def _say(sentence: str) -> None:
    """Prints on the first rank."""
    from speechbrain.utils.distributed import if_main_process

    if if_main_process():
        print(f"leanbrain: {sentence}", flush=True)
