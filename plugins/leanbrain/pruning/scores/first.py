"""What the first masks are chosen by: chance, or the size of weights."""

from __future__ import annotations

from typing import Any

from leanbrain.checks import UserError
from leanbrain.pruning.scores.basic import Magnitude

__all__ = ["first_score"]


def first_score(by_magnitude: bool, otherwise: Any) -> Any:
    """Chooses the score of the first masks, for a YAML file's `!apply`.

    Weights that nobody has trained say nothing: the masks of a model that is
    sparse from scratch are drawn. Those of a trained model must not be, since
    a random tenth of its weights is a start that knows nothing.

    Arguments
    ---------
    by_magnitude : bool
        Whether the largest weights are kept.
    otherwise : Score
        What decides if not, RandomScore for one.

    Returns
    -------
    Score
        Magnitude, or `otherwise`.

    Raises
    ------
    UserError
        If `by_magnitude` is neither True nor False.

    Example
    -------
    >>> from leanbrain.pruning.scores.noise import RandomScore
    >>> type(first_score(True, RandomScore(seed=1))).__name__
    'Magnitude'
    >>> type(first_score(False, RandomScore(seed=1))).__name__
    'RandomScore'
    """
    if not isinstance(by_magnitude, bool):
        raise UserError(
            f"`first_by_magnitude` must be True or False, got {by_magnitude!r}."
        )
    return Magnitude() if by_magnitude else otherwise
