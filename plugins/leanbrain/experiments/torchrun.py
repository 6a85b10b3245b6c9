"""A trial that runs a script on several processes of one machine.

    Trial("leanbrain.experiments.torchrun:run",
          {"command": ["{recipe}/train.py", "{recipe}/hparams.yaml"],
           "processes": 2},
          context={"places": {"recipe": "/where/it/lies/here"}})

As with `leanbrain.experiments.commands`, the script leaves `result.json` in
the folder that it works in; only one of its processes should write it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError, check_int
from leanbrain.experiments import commands

__all__ = ["run"]


def run(
    config: Mapping[str, Any], folder: Path, **context: Any
) -> dict[str, Any]:
    """Runs `config["command"]` under torchrun and returns what it leaves.

    Arguments
    ---------
    config : Mapping[str, Any]
        "command": the script and its arguments; "processes": how many.
    folder : Path
        Where the script works.
    **context : Any
        As for `commands.run`.

    Returns
    -------
    dict
        The content of `result.json`.

    Raises
    ------
    UserError
        As `commands.run`, or if `processes` is no number of processes.
    """
    processes = check_int("processes", config.get("processes"), low=1)
    words = config.get("command")
    if not isinstance(words, list):
        raise UserError(f"`command` must be a list of text, got {words!r}.")
    # Standalone: a free port of its own, so that trials do not meet.
    torchrun = [
        "python",
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={processes}",
    ]
    return commands.run(
        {**config, "command": [*torchrun, *words]}, folder, **context
    )
