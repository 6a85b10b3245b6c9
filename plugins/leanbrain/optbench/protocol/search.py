"""Search spaces: from ranges in YAML to the points that are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import UserError, check_int, check_known
from leanbrain.optbench.protocol.halton import halton

__all__ = ["SearchSpace", "linear", "log"]

Point = dict[str, Any]


def linear(u: float, low: float, high: float) -> float:
    """Maps [0, 1] evenly to a range.

    Arguments
    ---------
    u : float
        In [0, 1].
    low, high : float
        Ends of the range.

    Returns
    -------
    float

    Example
    -------
    >>> linear(0.5, 1.0, 3.0)
    2.0
    """
    return u * (high - low) + low


def log(u: float, low: float, high: float) -> float:
    """Maps [0, 1] to a range, each factor of ten having equal room.

    Arguments
    ---------
    u : float
        In [0, 1].
    low, high : float
        Ends of the range, both above zero.

    Returns
    -------
    float

    Example
    -------
    >>> round(log(0.5, 1e-4, 1e-2), 9)
    0.001
    """
    return low * math.exp(u * math.log(high / low))


SCALINGS: dict[str, Callable[[float, float, float], float]] = {
    "linear": linear,
    "log": log,
}


@dataclass(frozen=True)
class SearchSpace:
    """The hyper-parameters that may be tuned, and within which limits.

    Build it with `from_mapping`.

    Arguments
    ---------
    axes : Mapping[str, Callable]
        Name -> map of [0, 1) to a value.
    points : Sequence[dict]
        Full points, in place of axes.

    Example
    -------
    >>> space = SearchSpace.from_mapping(
    ...     {
    ...         "lr": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
    ...         "momentum": {"feasible_points": [0.9, 0.95]},
    ...     }
    ... )
    >>> studies = space.draw(studies=3, trials=5)
    >>> len(studies), len(studies[0]), sorted(studies[0][0])
    (3, 5, ['lr', 'momentum'])
    """

    axes: Mapping[str, Callable[[float], Any]]
    points: Sequence[Point] = ()

    @classmethod
    def from_mapping(cls, space: Any) -> SearchSpace:
        """Reads a search space.

        Arguments
        ---------
        space : Mapping | list | None
            Name -> {min, max, scaling: linear | log} or {feasible_points};
            or a list of full points (name -> value); None or empty if
            nothing is tuned.

        Returns
        -------
        SearchSpace

        Raises
        ------
        UserError
            If a range is empty, a log range does not lie above zero, a key
            is unknown or missing, or points differ in their names.
        """
        if space is None:
            return cls({})
        if isinstance(space, Mapping):
            return cls({str(k): _axis(str(k), v) for k, v in space.items()})
        if isinstance(space, Sequence) and not isinstance(space, str):
            return cls({}, _full_points(space))
        raise UserError(
            "`search_space` must be a mapping of hyper-parameters or a list "
            f"of points, got {space!r}."
        )

    def draw(self, studies: int, trials: int) -> list[list[Point]]:
        """Draws the points of all trials.

        One sequence of studies x trials points is drawn and then split:
        were each study drawn alone, all would get the same points.

        Arguments
        ---------
        studies : int
            How many studies.
        trials : int
            How many trials each study has. A list of full points is handed
            out in turn; within a study no point comes twice.

        Returns
        -------
        list of list of dict
            Study -> trial -> name -> value; the same in every process.

        Raises
        ------
        UserError
            If there are fewer full points than trials.
        """
        check_int("studies", studies, low=1)
        check_int("trials", trials, low=1)
        flat = self._sequence(studies * trials, trials)
        return [flat[i * trials : (i + 1) * trials] for i in range(studies)]

    def _sequence(self, count: int, trials: int) -> list[Point]:
        """All points, one after the other."""
        if self.points:
            if len(self.points) < trials:
                raise UserError(
                    "`search_space` must list at least as many points as a "
                    f"study has trials ({trials}), got {len(self.points)}."
                )
            size = len(self.points)
            return [dict(self.points[i % size]) for i in range(count)]
        if not self.axes:
            return [{} for _ in range(count)]
        rows = halton(count, len(self.axes)).tolist()
        return [
            {
                name: axis(u)
                for (name, axis), u in zip(self.axes.items(), row, strict=True)
            }
            for row in rows
        ]


def _axis(name: str, entry: Any) -> Callable[[float], Any]:
    """Builds the map of one hyper-parameter."""
    if not isinstance(entry, Mapping):
        raise UserError(
            f"`search_space.{name}` must be a mapping with min, max and "
            f"scaling or with feasible_points, got {entry!r}."
        )
    discrete = "feasible_points" in entry
    keys = ["feasible_points"] if discrete else ["min", "max", "scaling"]
    for key in entry:
        check_known(f"key of search_space.{name}", key, keys)
    for key in keys:
        if key not in entry:
            raise UserError(f"`search_space.{name}` must have the key `{key}`.")
    if discrete:
        return _choice(name, entry["feasible_points"])
    return _range(name, entry)


def _choice(name: str, values: Any) -> Callable[[float], Any]:
    """The map to a list of values, all equally likely."""
    if (
        not isinstance(values, Sequence)
        or isinstance(values, str)
        or not values
    ):
        raise UserError(
            f"`search_space.{name}.feasible_points` must be a list of at "
            f"least one value, got {values!r}."
        )
    return lambda u: values[int(u * len(values))]


def _range(name: str, entry: Mapping[str, Any]) -> Callable[[float], float]:
    """The map to a range."""
    low = _number(f"search_space.{name}.min", entry["min"])
    high = _number(f"search_space.{name}.max", entry["max"])
    scaling = f"search_space.{name}.scaling"
    scale = SCALINGS[check_known(scaling, entry["scaling"], SCALINGS)]
    if low > high:
        raise UserError(
            f"`search_space.{name}` must have min <= max, got min {low:g} and "
            f"max {high:g}."
        )
    if scale is log and low <= 0:
        raise UserError(
            f"`search_space.{name}` must have min > 0 for log scaling, got "
            f"min {low:g}."
        )
    return lambda u: scale(u, low, high)


def _number(name: str, value: Any) -> float:
    """A finite number."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise UserError(f"`{name}` must be a finite number, got {value!r}.")
    return float(value)


def _full_points(points: Sequence[Any]) -> list[Point]:
    """A list of full points, all with the same names."""
    if not points:
        raise UserError("`search_space` must list at least one point, got [].")
    for point in points:
        if not isinstance(point, Mapping) or set(point) != set(points[0]):
            raise UserError(
                "The points of `search_space` must be mappings with the same "
                f"names, got {points[0]!r} and {point!r}."
            )
    return [dict(x) for x in points]
