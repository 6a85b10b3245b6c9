"""Random scores: growth by chance, alone or next to a score that is tracked."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leanbrain.checks import UserError, check_fraction, check_int

__all__ = ["PartlyRandom", "RandomScore"]

_VERSION = 1
# The smallest step of torch.rand is 2 ** -24: zero becomes half of it.
_ABOVE_ZERO = 2.0**-25
# Donors of PartlyRandom: enough to follow the tail of a score, and few enough
# to stay in the cache of a CPU.
_DONORS = 2**16


class RandomScore:
    """A score that is drawn anew whenever it is read.

    Numbers are drawn on the CPU from a generator of its own: they are the
    same on every device and on every rank, and do not disturb dropout.

    Arguments
    ---------
    seed : int
        Seed of the generator, >= 0.

    Raises
    ------
    UserError
        If the seed is not such an integer.

    Reference
    ---------
    Mocanu et al. (SET), arXiv 1707.04780: growth at random.

    Example
    -------
    >>> score = RandomScore(seed=1)
    >>> weight = torch.zeros(3)
    >>> first = score.value("en", "w", weight)
    >>> bool((first == score.value("en", "w", weight)).any())
    False
    >>> bool((first == RandomScore(seed=1).value("fr", "w", weight)).all())
    True
    """

    wants_gradient = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = check_int("seed", seed, low=0)
        self._generator = torch.Generator().manual_seed(self.seed)

    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Draws scores.

        Arguments
        ---------
        pathway : str
            It has no effect here.
        name : str
            It has no effect here.
        weight : Tensor
            The parameter; only its shape and device are used.

        Returns
        -------
        Tensor
            Uniform in (0, 1), float32, a new tensor in the shape of `weight`.
        """
        drawn = torch.rand(weight.shape, generator=self._generator)
        return drawn.clamp_(min=_ABOVE_ZERO).to(weight.device)

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as plain containers and tensors.

        Returns
        -------
        dict
            What the next numbers depend on.
        """
        return {"version": _VERSION, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a saved state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        UserError
            If the state is of another score or version.
        """
        _check_state("RandomScore", state)
        self._generator.set_state(state["generator"].cpu())


class PartlyRandom:
    """A tracked score in which chance has a say.

    Each entry takes, with probability `share`, the score of another entry of
    the tensor that is drawn at random. All scores are then distributed as
    before, in every layer, so that an expected `share` of the best, however
    many are taken, is there by chance. This holds where weights that may
    grow and weights that are active score alike.

    Arguments
    ---------
    score : TrackedScore
        What is followed otherwise; any score that wants gradients.
    share : float
        Expected share of growth that is random, in [0, 1].
    seed : int
        Seed of the generator, >= 0.

    Raises
    ------
    UserError
        If a setting is out of its range.

    Reference
    ---------
    Growth partly by gradient and partly at random, as in GGR, arXiv
    2210.14012.

    Example
    -------
    >>> from leanbrain.pruning.scores.basic import TrackedScore, gradient
    >>> score = PartlyRandom(TrackedScore(gradient), share=0.5, seed=1)
    >>> weight = torch.zeros(4)
    >>> score.observe("en", "w", weight, torch.tensor([4.0, 3.0, 2.0, 1.0]))
    True
    >>> set(score.value("en", "w", weight).tolist()) <= {4.0, 3.0, 2.0, 1.0}
    True
    """

    wants_gradient = True

    def __init__(self, score: Any, share: float = 0.5, seed: int = 0) -> None:
        if not getattr(score, "wants_gradient", False):
            raise UserError(
                "`score` must be one that wants gradients, TrackedScore for "
                f"one, got {score!r}."
            )
        self.score = score
        self.share = check_fraction("share", share)
        self._generator = torch.Generator().manual_seed(
            check_int("seed", seed, low=0)
        )

    def observe(
        self, pathway: str, name: str, weight: Tensor, gradient: Tensor
    ) -> bool:
        """Passes a micro-batch on; whether it was taken in."""
        taken: bool = self.score.observe(pathway, name, weight, gradient)
        return taken

    @torch.no_grad()
    def value(self, pathway: str, name: str, weight: Tensor) -> Tensor:
        """Returns the scores with some of them swapped for others.

        Arguments
        ---------
        pathway : str
            Whose scores.
        name : str
            Name of the parameter.
        weight : Tensor
            The parameter, as the score takes it.

        Returns
        -------
        Tensor
            What the score gives, other entries at random at each call.
        """
        values: Tensor = self.score.value(pathway, name, weight)
        flat = values.view(-1)
        count = flat.numel()
        if count == 0 or self.share == 0.0:
            return values
        coins = torch.rand(count, generator=self._generator)
        places = (coins < self.share).nonzero().view(-1).to(flat.device)
        donors = flat
        if count > _DONORS:
            donors = flat[self._draw(count, _DONORS).to(flat.device)]
        picked = self._draw(donors.numel(), places.numel()).to(flat.device)
        flat[places] = donors[picked]
        return values

    def reset(self, pathway: str | None = None) -> None:
        """Lets the score forget a pathway, or all; chance goes on."""
        self.score.reset(pathway)

    def knows(self, pathway: str, name: str) -> bool:
        """Whether the score has observed a parameter of a pathway."""
        known: bool = self.score.knows(pathway, name)
        return known

    def seen(self, pathway: str) -> int:
        """Counts the observations of a pathway since its last reset."""
        count: int = self.score.seen(pathway)
        return count

    def reduce(self, pathway: str) -> None:
        """Averages over ranks; every rank must call it at the same point."""
        self.score.reduce(pathway)

    def holds(self, sizes: Sequence[int], pathways: int, at_once: int) -> int:
        """The most bytes that it keeps, as of ``TrackedScore.holds``."""
        return int(self.score.holds(sizes, pathways, at_once))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of the score and of chance.

        Returns
        -------
        dict
            Plain containers and tensors.
        """
        return {
            "version": _VERSION,
            "generator": self._generator.get_state(),
            "score": self.score.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a saved state.

        Arguments
        ---------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        UserError
            If the state is of another score or version.
        """
        _check_state("PartlyRandom", state)
        self.score.load_state_dict(state["score"])
        self._generator.set_state(state["generator"].cpu())

    def _draw(self, high: int, count: int) -> Tensor:
        """Draws indices below `high`, on the CPU."""
        return torch.randint(high, (count,), generator=self._generator)


def _check_state(kind: str, state: dict[str, Any]) -> None:
    """Refuses what another score or version saved."""
    if state.get("version") != _VERSION or "generator" not in state:
        raise UserError(
            f"The state of a {kind} must have a generator and version "
            f"{_VERSION}, got the keys {', '.join(sorted(state)) or 'none'}."
        )
