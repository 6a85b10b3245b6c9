"""Scores that are computed when they are asked for, one tensor at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Size, Tensor

from leanbrain.masking.targets import Target

__all__ = ["LazyScores", "shapes_of"]


class LazyScores(Mapping[str, Tensor]):
    """A mapping of parameters to scores: `shapes` costs nothing.

    What is read is kept until it is taken: an allocation over all layers reads
    several times. No activations are in memory between batches, which take
    more.

    Arguments
    ---------
    targets : sequence of Target
        The parameters.
    compute : callable
        Name -> scores.
    """

    def __init__(
        self, targets: Sequence[Target], compute: Callable[[str], Tensor]
    ) -> None:
        self.shapes = {t.name: t.parameter.shape for t in targets}
        self._compute = compute
        self._kept: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.shapes:
            raise KeyError(name)
        if name not in self._kept:
            self._kept[name] = self._compute(name)
        return self._kept[name]

    def take(self, name: str) -> Tensor:
        """Returns the scores of a parameter, and keeps them no longer."""
        scores = self[name]
        del self._kept[name]
        return scores

    def __contains__(self, name: object) -> bool:
        return name in self.shapes  # rather than by computing it

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def shapes_of(scores: Mapping[str, Tensor]) -> Mapping[str, Size]:
    """Returns the shapes, of `LazyScores` without computing any.

    Arguments
    ---------
    scores : Mapping[str, Tensor]
        Tensors by name.

    Returns
    -------
    Mapping
        Name -> shape.

    Example
    -------
    >>> import torch
    >>> shapes_of({"a": torch.ones(2, 5)})
    {'a': torch.Size([2, 5])}
    """
    if isinstance(scores, LazyScores):
        return scores.shapes
    return {name: tensor.shape for name, tensor in scores.items()}
