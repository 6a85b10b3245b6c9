"""Files of a user that a command must not write over."""

from __future__ import annotations

from pathlib import Path

from leanbrain.checks import UserError

__all__ = ["check_free"]


def check_free(path: Path, text: str, what: str) -> None:
    """Checks that a file can be written without a loss.

    Arguments
    ---------
    path : Path
        Where it shall be.
    text : str
        Its content; a file that holds it already is not in the way.
    what : str
        What the file is, such as "copy".

    Raises
    ------
    UserError
        If a file with other content, or a folder, is there.

    Example
    -------
    >>> check_free(Path("new.yaml"), "lr: 0.1", "new recipe")
    """
    if not path.exists():
        return
    if path.is_file() and path.read_bytes() == text.encode():
        return
    raise UserError(
        f"The {what} must not replace another file, got {path} with other "
        "content: rename or remove it."
    )
