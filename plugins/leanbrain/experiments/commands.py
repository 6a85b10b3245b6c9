"""A trial that runs a command, such as the script of a recipe.

    Trial("leanbrain.experiments.commands:run",
          {"command": ["python", "{recipe}/train.py", "{recipe}/hparams.yaml",
                       "--output_folder", "."]},
          context={"places": {"recipe": "/where/it/lies/here"}})

The command works in the trial's folder and leaves `result.json` there: a dict
of plain JSON, as a run function would return it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.experiments.processes import die_with_parent, end_tree
from leanbrain.files import read_json
from leanbrain.hyperyaml import fill_places

__all__ = ["run", "run_command"]

_ERROR = re.compile(r"^(\[rank\d+\]: ?)?[\w.]*(Error|Exception|Interrupt)\b")


def run(
    config: Mapping[str, Any],
    folder: Path,
    *,
    places: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    discard: Sequence[str] = (),
) -> dict[str, Any]:
    """Runs `config["command"]` and returns what it leaves.

    Arguments
    ---------
    config : Mapping[str, Any]
        "command" is a list of text; a first word "python" is this Python.
        Other keys are part of the trial's identity only.
    folder : Path
        Where the command works; its output goes to `output.txt`.
    places : Mapping[str, str] | None
        Text in braces in the command -> what it stands for on this machine.
        "{folder}" is always the folder.
    arguments : Sequence[str]
        Further words that are no part of the trial's identity.
    environment : Mapping[str, str] | None
        Variables set for the command.
    discard : Sequence[str]
        Folders inside `folder` that are removed when the command has ended
        well, such as large checkpoints that nobody needs any more.

    Returns
    -------
    dict
        The content of `result.json`.

    Raises
    ------
    UserError
        If the command is no list of text, fails, or leaves no result.
    """
    words = config.get("command")
    if not (
        isinstance(words, list)
        and words
        and all(isinstance(word, str) for word in words)
    ):
        raise UserError(f"`command` must be a list of text, got {words!r}.")
    places = {"folder": str(folder), **(places or {})}
    command = [fill_places(word, places) for word in [*words, *arguments]]
    if command[0] == "python":
        command[0] = sys.executable
    result = run_command(command, folder, environment)
    for name in discard:
        shutil.rmtree(folder / name)
    return result


def run_command(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Runs a command in a folder and reads its result.

    Arguments
    ---------
    command : Sequence[str]
        The program and its arguments.
    folder : Path
        Where it works.
    environment : Mapping[str, str] | None
        Variables set for it.

    Returns
    -------
    dict
        The content of `result.json`.

    Raises
    ------
    UserError
        If it cannot be started, fails, or leaves no result.
    """
    log = folder / "output.txt"
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                # Not SIGKILL: torchrun has processes of its own to end.
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        except OSError as error:
            raise UserError(
                f"The command {command[0]} cannot be started "
                f"({error.strerror or error})."
            ) from error
        try:
            code = process.wait()
        finally:
            # After Ctrl-C, and for whatever the command left behind.
            end_tree(process.pid)
            process.wait()
    if code:
        raise UserError(
            f"The command {Path(command[0]).name} ended with exit code {code}"
            f"{_last_words(log)}"
        )
    return read_json(folder / "result.json")


def _last_words(log: Path) -> str:
    """Finds the line of the output that says most."""
    text = log.read_text(encoding="utf-8", errors="replace")[-100_000:]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Under torchrun a long table follows on the error itself. The first
    # process to fail is the cause, the others only miss it.
    errors = [line for line in lines if _ERROR.match(line)]
    said = (errors or lines[-1:] or [""])[0]
    return f": {said[:300]}" if said else "."
