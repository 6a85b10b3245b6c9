"""One trial on several processes of one machine, under torchrun."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.experiments import torchrun
from leanbrain.files import write_json

__all__ = ["run"]


def run(
    config: Mapping[str, Any], folder: str | os.PathLike[str], **context: Any
) -> dict[str, Any]:
    """Runs a trial; `Trial.run` is "leanbrain.optbench.trials.distributed:run".

    Arguments
    ---------
    config : Mapping
        As for `leanbrain.optbench.trials.trial.run`, and "processes": how many.
    folder : path
        Of the trial; what its processes say goes to work/output.txt.
    **context : Any
        As for `leanbrain.optbench.trials.trial.run`.

    Returns
    -------
    dict
        The result, as the main process wrote it.

    Raises
    ------
    UserError
        If a process fails; the sentence is that of the first to fail.
    """
    # Not the folder itself: there the engine keeps files of these names.
    work = Path(folder).absolute() / "work"
    work.mkdir(parents=True, exist_ok=True)
    write_json(
        work / "config.json", {"config": dict(config), "context": context}
    )
    command = ["-m", "leanbrain.optbench.trials.trial"]
    command += [str(work / "config.json"), str(work / "result.json")]
    return torchrun.run(
        {"command": command, "processes": config["processes"]},
        work,
        environment={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
