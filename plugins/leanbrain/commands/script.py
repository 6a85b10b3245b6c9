"""Runs the script of a recipe as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.recipes.script_errors import what_script_lacks

__all__ = ["check_script", "run_script"]


def check_script(script: str, recipe: str) -> tuple[Path, Path]:
    """Refuses what is no script with its YAML.

    Arguments
    ---------
    script, recipe : str
        As they are typed.

    Returns
    -------
    tuple of Path

    Raises
    ------
    UserError
        If one is no file, or they stand the other way round.
    """
    files = Path(script), Path(recipe)
    for name, file in zip(("script", "YAML"), files, strict=True):
        if not file.is_file():
            raise UserError(f"The {name} must be a file, got {str(file)!r}.")
    if files[0].suffix in (".yaml", ".yml"):
        raise UserError(
            f"The script must stand before its YAML, got {script!r} {recipe!r}."
        )
    return files


def run_script(script: Path, arguments: list[str]) -> None:
    """Runs a script as `python script arguments` does."""
    import runpy

    try:
        with _as_if_called(script, arguments):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    except (AttributeError, KeyError, ValueError, OSError) as error:
        sentence = what_script_lacks(error, arguments[0])
        if sentence is None:
            raise
        raise UserError(sentence) from error


@contextmanager
def _as_if_called(script: Path, arguments: list[str]) -> Iterator[None]:
    """Sets what a script finds in `sys`, and puts it back."""
    argv, path = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
