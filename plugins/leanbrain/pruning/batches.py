"""Which pathway a batch belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leanbrain.checks import UserError
from leanbrain.masking.brains import languages_of

__all__ = ["check_pathways", "language_of"]


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
    """Names of pathways: at least one, each once, not reserved."""
    if isinstance(pathways, str) or not all(
        isinstance(name, str) and name for name in pathways
    ):
        raise UserError(
            f"`pathways` must be a list of names, got {pathways!r}."
        )
    if not pathways or len(set(pathways)) != len(pathways):
        raise UserError(
            "`pathways` must name each pathway once and at least one, got "
            f"{list(pathways)}."
        )
    return tuple(pathways)
