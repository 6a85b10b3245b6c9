"""Settings on the command line, their values in YAML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from leanbrain.checks import UserError
from leanbrain.hyperyaml import read_tagged

__all__ = ["read_overrides", "read_settings"]


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Reads the settings of a method as they are typed after --set.

    Arguments
    ---------
    texts : sequence of str
        Such as "sparsity=0.8" and "pathways=[en, fr]".

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
    for text in texts:
        key, sign, _ = text.partition("=")
        if not (sign and key.strip()):
            raise UserError(f"`--set` must be key=value, got {text!r}.")
    return _values((text.split("=", 1) for text in texts), "`--set`")


def read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Reads the overrides of a recipe as its own script takes them.

    Arguments
    ---------
    words : sequence of str
        --key=value, or --key and value as two words.

    Returns
    -------
    dict
        Key -> value.

    Raises
    ------
    UserError
        If a word is no such thing, a value is no YAML, or a key comes twice.

    Example
    -------
    >>> read_overrides(["--output_neurons=40", "--dropout", "0.1"])
    {'output_neurons': 40, 'dropout': 0.1}
    """
    pairs, left = [], list(words)
    while left:
        word = left.pop(0)
        key, sign, value = word.partition("=")
        if not sign and left:
            value = left.pop(0)
        if not key.startswith("--") or key == "--" or not value:
            raise UserError(
                f"An override of the recipe must be --key=value, got {word!r}."
            )
        pairs.append((key[2:], value))
    return _values(pairs, "An override of the recipe")


def _values(pairs: Iterable[Sequence[str]], what: str) -> dict[str, Any]:
    """Reads the values of keys."""
    values: dict[str, Any] = {}
    for key, text in pairs:
        key = key.strip()
        if key in values:
            raise UserError(f"{what} must name a key once, got {key!r} twice.")
        values[key] = _value(key, text, what)
    return values


def _value(key: str, text: str, what: str) -> Any:
    """Reads one value."""
    from ruamel.yaml.error import YAMLError

    try:
        return read_tagged(text)
    except YAMLError as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{what} must have a value in YAML, got {f'{key}={text}'!r} "
            f"({reason})."
        ) from error
