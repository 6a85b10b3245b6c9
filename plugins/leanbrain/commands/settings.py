"""Settings on the command line: key=value, the values in YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leanbrain.checks import UserError

__all__ = ["read_settings"]


def read_settings(
    texts: Sequence[str], option: str = "--set"
) -> dict[str, Any]:
    """Reads settings as they are typed.

    Arguments
    ---------
    texts : sequence of str
        Such as "sparsity=0.8" and "pathways=[en, fr]".
    option : str
        What they follow on the command line, for messages.

    Returns
    -------
    dict
        Key -> value; one with a tag, such as `!ref <x>`, keeps it.

    Raises
    ------
    UserError
        If one is no key=value, its value is no YAML, or a key comes twice.

    Example
    -------
    >>> read_settings(["sparsity=0.5", "files={en: a.pt}", "exclude=null"])
    {'sparsity': 0.5, 'files': {'en': 'a.pt'}, 'exclude': None}
    """
    settings: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        key = key.strip()
        if not (sign and key):
            raise UserError(f"`{option}` must be key=value, got {text!r}.")
        if key in settings:
            raise UserError(
                f"`{option}` must name a key once, got {key!r} twice."
            )
        settings[key] = _value(text, value, option)
    return settings


def _value(text: str, value: str, option: str) -> Any:
    """Reads one value."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML().load(value)
    except YAMLError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"`{option}` must have a value in YAML, got {text!r} ({reason})."
        ) from error
