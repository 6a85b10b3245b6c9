"""JSON without what Python takes beyond it."""

import json
from typing import Any

__all__ = ["strict_json"]


def strict_json(text: str | bytes) -> Any:
    """Reads JSON; NaN, infinity and a key that comes twice are none.

    Arguments
    ---------
    text : str | bytes
        The text.

    Returns
    -------
    Any
        Its content.

    Raises
    ------
    ValueError
        If it is no JSON.

    Example
    -------
    >>> strict_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    ValueError: the key 'a' comes twice
    """
    return json.loads(
        text, parse_constant=_no_number, object_pairs_hook=_unique
    )


def _no_number(text: str) -> float:
    """Refuses what is no JSON, though Python takes it."""
    raise ValueError(f"{text} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of which JSON would keep the last of equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice")
    return found
