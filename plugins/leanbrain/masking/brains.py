"""Routes the batches of a SpeechBrain Brain, which may mix languages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError

if TYPE_CHECKING:
    from leanbrain.masking.router import PathwayRouter

__all__ = ["languages_of", "route_batches"]


def languages_of(batch: Any, key: str = "lang") -> list[str]:
    """The language of each utterance of a batch.

    Arguments
    ---------
    batch : PaddedBatch
        Has them as a list of str under ``key``.
    key : str
        Name of that item.

    Returns
    -------
    list

    Raises
    ------
    UserError
        If the batch has no such item, or not as a list of str.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> languages_of(SimpleNamespace(lang=["fr", "en"]))
    ['fr', 'en']
    """
    try:
        values: Iterable[str] = getattr(batch, key)
    except (AttributeError, KeyError):
        raise UserError(
            f"A batch must have the item `{key}` (add it with "
            f"set_output_keys), got none."
        ) from None
    listed = isinstance(values, Iterable) and not isinstance(values, str)
    if not listed or not all(isinstance(v, str) for v in values):
        raise UserError(
            f"`{key}` of a batch must be a list of str, got {values!r}."
        )
    return list(values)


def route_batches(
    router: PathwayRouter, brain: Any, key: str = "lang", beams: bool = False
) -> None:
    """Lets each utterance of a Brain's batches run through its pathway.

    For masks that no longer change: training goes on, or evaluation runs, in
    batches that mix languages. While masks are still found, a pruner needs
    batches of one language, whose gradients tell what that language needs.

    Arguments
    ---------
    router : PathwayRouter
        Of the Brain's modules.
    brain : sb.Brain
        Its methods `fit_batch` and `evaluate_batch` are wrapped.
    key : str
        Name of the item of a batch that lists the languages.
    beams : bool
        Whether the Brain runs a beam search: see `PathwayRouter.set`.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> import torch
    >>> from leanbrain.masking import MaskSet, PathwayRouter
    >>> from leanbrain.masking.nnet.linear import Linear
    >>> layer = Linear(n_neurons=1, input_size=1, bias=False)
    >>> masks = MaskSet({"w.weight": [1, 1]}, ["en", "fr"])
    >>> masks.set("fr", "w.weight", torch.tensor([[False]]))
    >>> brain = SimpleNamespace(
    ...     fit_batch=None, evaluate_batch=lambda b, stage: layer(b.x) == 0
    ... )
    >>> route_batches(PathwayRouter(layer, masks), brain)
    >>> batch = SimpleNamespace(x=torch.ones(3, 1, 1), lang=["fr", "en", "fr"])
    >>> brain.evaluate_batch(batch, None).flatten().tolist()
    [True, False, True]
    """
    fit_batch, evaluate_batch = brain.fit_batch, brain.evaluate_batch

    def routed_fit_batch(batch: Any) -> Any:
        """Trains each row in its own pathway."""
        with router.through(languages_of(batch, key), beams):
            return fit_batch(batch)

    def routed_evaluate_batch(batch: Any, stage: Any) -> Any:
        """Evaluates each row in its own pathway."""
        with router.through(languages_of(batch, key), beams):
            return evaluate_batch(batch, stage)

    brain.fit_batch = routed_fit_batch
    brain.evaluate_batch = routed_evaluate_batch
