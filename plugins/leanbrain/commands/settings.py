"""Settings on the command line, their values in YAML."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
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
    """Reads what a recipe's script is given as that script does.

    Arguments
    ---------
    words : sequence of str
        Keys of the recipe, as --key=value or --key and value as words, and
        options of SpeechBrain's, such as --debug, which are passed over.

    Returns
    -------
    dict
        Key -> value; None where there is none.

    Raises
    ------
    UserError
        If a word is no such thing, a value is no YAML, or a key comes twice.

    Example
    -------
    >>> read_overrides(["--debug", "--sizes=[64,", "100]", "--dropout", "0.1"])
    {'sizes': [64, 100], 'dropout': 0.1}
    """
    from leanbrain import import_speechbrain

    words = [word for word in words if word != "--"]
    if words and not words[0].startswith("--"):
        raise UserError(
            f"An override of the recipe must be --key=value, got {words[0]!r}."
        )
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            _, _, text = import_speechbrain().parse_arguments(["", *words])
    except SystemExit as end:
        lines = said.getvalue().splitlines() or ["a wrong option"]
        reason = lines[-1].partition("error: ")[2] or lines[-1]
        raise UserError(
            f"The options must be those of a SpeechBrain script: {reason}."
        ) from end
    pairs = [line.partition(":")[::2] for line in text.splitlines()]
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
