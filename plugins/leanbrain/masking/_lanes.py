"""What a router gives to its layers: the batch's route, and masked weights."""

from __future__ import annotations

from typing import Any

from leanbrain.checks import UserError
from leanbrain.masking._masked_weights import MaskedWeights
from leanbrain.masking._rows import Grouping, group_rows

__all__ = ["Lane", "Route"]


class Route:
    """The pathways of the batch; all layers of a router share it.

    Arguments
    ---------
    names : list
        None, one for all rows, or one per utterance.
    beams : bool
        Whether an utterance may have several rows, one after another.
    for_all : bool
        Whether the one name is for all rows, however many.
    """

    def __init__(
        self,
        names: list[str] | None = None,
        beams: bool = False,
        for_all: bool = False,
    ) -> None:
        self.take(names or [], beams, for_all)

    def take(self, names: list[str], beams: bool, for_all: bool) -> None:
        """Sends the next batches this way."""
        self.names, self.beams, self.for_all = names, beams, for_all
        # Told apart from `names`, on whose length compiled code would depend.
        self.active = bool(names)


class Lane:
    """What one layer gets: its weights, and who runs where.

    Arguments
    ---------
    name : str
        The layer's name in the model.
    layer : Any
        The layer.
    weights : MaskedWeights
        Its masked weights.
    route : Route
        Of the router.
    """

    def __init__(
        self, name: str, layer: Any, weights: MaskedWeights, route: Route
    ) -> None:
        self.name, self.layer = name, layer
        self.weights, self.route = weights, route
        # Written, never read, while the layer runs: torch.compile compiles
        # anew for each other value that it sees read.
        self.ran = False

    def grouping(self, size: int | None = None) -> Grouping:
        """Groups rows by masks that differ in this layer.

        Arguments
        ---------
        size : int or None
            How many rows the layer's input has; None if that is not known.

        Returns
        -------
        Grouping
            One group for all if there is one pathway only.

        Raises
        ------
        UserError
            If there are more or fewer pathways.
        """
        keys = [self.weights.key(name) for name in self.route.names]
        if size is None or self.route.for_all:
            return group_rows(keys)
        times, rest = divmod(size, len(keys))
        if rest or not times or (times > 1 and not self.route.beams):
            raise self.wrong_rows(size)
        return group_rows([key for key in keys for _ in range(times)])

    def wrong_rows(self, size: int) -> UserError:
        """Makes the error of a batch of another number of utterances."""
        return UserError(
            "The batch must have one pathway for each of its rows, got "
            f"{len(self.route.names)} pathways and {size} rows in {self.name}"
            " (in beam search, set `beams=True`)."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles of a layer have no router."""
        return type(None), ()
