"""Which pathway a batch belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leanbrain.checks import UserError, check_names
from leanbrain.masking.brains import languages_of

__all__ = ["check_pathways", "language_of", "only_pathway"]


def language_of(batch: Any, key: str = "lang") -> str:
    """The one language of a batch.

    Arguments
    ---------
    batch : PaddedBatch
        Has the languages of its utterances as a list of str under ``key``.
    key : str
        Name of that item.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If the batch has no such item or mixes languages.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> language_of(SimpleNamespace(lang=["fr", "fr"]))
    'fr'
    """
    found = sorted(set(languages_of(batch, key)))
    if len(found) != 1:
        raise UserError(
            "A batch must hold utterances of one language (use "
            "LanguageBatchSampler to train and evaluation_batches to "
            f"evaluate), got {', '.join(found) or 'none'}."
        )
    return found[0]


def check_pathways(pathways: Sequence[str]) -> tuple[str, ...]:
    """Names of pathways: at least one, each once."""
    return check_names("pathways", pathways)


def only_pathway(pathways: Sequence[str]) -> list[str]:
    """Lets a single name pass: for methods that are a run per language.

    Arguments
    ---------
    pathways : sequence of str
        One name.

    Returns
    -------
    list

    Raises
    ------
    UserError
        If there are several: they would share one mask, or masks that a
        method of this name does not give them.

    Example
    -------
    >>> only_pathway(["ru"])
    ['ru']
    """
    names = check_pathways(pathways)
    if len(names) > 1:
        raise UserError(
            "`pathways` must be one language for this method, which is a run "
            f"for each, got {', '.join(names)}."
        )
    return list(names)
