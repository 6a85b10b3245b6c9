"""Which languages share most of their pathways: overlaps as a tree.

Average linkage on the distance 1 - overlap: two groups of languages are as
far apart as the mean over all their pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from leanbrain.checks import UserError

__all__ = [
    "Tree",
    "closest_in",
    "differs",
    "grow_tree",
    "mean_overlap",
    "pair_overlaps",
]

Overlap = Mapping[str, Any]
"""What a run says: "pathways" (L names) and "matrix" [L, L] in [0, 1]."""


@dataclass(frozen=True)
class Tree:
    """A dendrogram, ready to be drawn.

    Arguments
    ---------
    leaves : tuple[str, ...]
        Pathways in the order in which no two branches cross; the k-th one is
        at position k.
    branches : tuple
        One per merger: four positions and four distances in [0, 1], the
        corners of a bracket.
    """

    leaves: tuple[str, ...]
    branches: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]


def mean_overlap(overlaps: Sequence[Overlap]) -> tuple[list[str], np.ndarray]:
    """Averages the overlaps of several seeds.

    Arguments
    ---------
    overlaps : Sequence
        One per seed, of the same pathways in any order.

    Returns
    -------
    tuple
        The pathways in the order of the first seed; the means, shape [L, L].

    Raises
    ------
    UserError
        If there is none, or if the pathways differ.

    Example
    -------
    >>> one = {"pathways": ["en", "fr"], "matrix": [[1.0, 0.5], [0.5, 1.0]]}
    >>> mean_overlap([one, one])[1].tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    if not overlaps:
        raise UserError("`overlaps` must hold at least one matrix, got none.")
    names = list(overlaps[0]["pathways"])
    matrices = []
    for overlap in overlaps:
        found = list(overlap["pathways"])
        if sorted(found) != sorted(names):
            raise UserError(
                "`overlaps` must be of the same pathways in every seed, got "
                f"{names} and {found}."
            )
        order = [found.index(name) for name in names]
        matrix = np.asarray(overlap["matrix"], dtype=float)
        matrix = matrix.reshape(len(found), len(found))
        matrices.append(matrix[np.ix_(order, order)])
    return names, np.mean(matrices, axis=0)


def differs(matrix: np.ndarray) -> bool:
    """Whether any two pathways have different masks."""
    return bool(len(matrix) > 1 and (matrix < 1.0).any())


def grow_tree(names: Sequence[str], matrix: np.ndarray) -> Tree:
    """Merges the pathways that overlap most, step by step.

    Arguments
    ---------
    names : Sequence[str]
        At least two pathways.
    matrix : np.ndarray
        Their overlaps, symmetric; shape [L, L].

    Returns
    -------
    Tree
        The mergers; the heights never fall on the way to the root.

    Raises
    ------
    UserError
        If there are fewer than two pathways.

    Reference
    ---------
    UPGMA: Sokal and Michener, 1958.

    Example
    -------
    >>> matrix = np.array([[1, 0.2, 0.8], [0.2, 1, 0.4], [0.8, 0.4, 1]])
    >>> tree = grow_tree(["ru", "en", "uk"], matrix)
    >>> sorted(round(max(y), 2) for _, y in tree.branches)
    [0.2, 0.7]
    """
    if len(names) < 2:
        raise UserError(
            f"A tree needs at least two pathways, got {list(names)}."
        )
    distances = squareform(
        # Rounding of a mean of ones must not give a distance below 0.
        np.clip(1.0 - np.asarray(matrix, dtype=float), 0.0, 1.0),
        checks=False,
    )
    drawn = dendrogram(linkage(distances, "average"), no_plot=True)
    # SciPy puts leaf k at 10 k + 5.
    branches = tuple(
        (tuple((x - 5.0) / 10.0 for x in xs), tuple(float(y) for y in ys))
        for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    return Tree(tuple(names[i] for i in drawn["leaves"]), branches)


def pair_overlaps(
    names: Sequence[str], matrix: np.ndarray
) -> dict[tuple[str, str], float]:
    """Lists the overlap of every pair, the closest pair first.

    Example
    -------
    >>> matrix = np.array([[1, 0.2, 0.8], [0.2, 1, 0.4], [0.8, 0.4, 1]])
    >>> list(pair_overlaps(["ru", "en", "uk"], matrix))
    [('ru', 'uk'), ('en', 'uk'), ('ru', 'en')]
    """
    pairs = {
        (a, names[j]): float(matrix[i, j])
        for i, a in enumerate(names)
        for j in range(i + 1, len(names))
    }
    return dict(sorted(pairs.items(), key=lambda x: -x[1]))


def closest_in(overlaps: Sequence[Overlap], pair: tuple[str, str]) -> int:
    """Counts the seeds in which one pair shares more than any other.

    Arguments
    ---------
    overlaps : Sequence
        One per seed.
    pair : tuple[str, str]
        Two pathways.

    Returns
    -------
    int
        How often no other pair overlaps as much.

    Example
    -------
    >>> matrix = [[1, 0.2, 0.8], [0.2, 1, 0.4], [0.8, 0.4, 1]]
    >>> one = {"pathways": ["ru", "en", "uk"], "matrix": matrix}
    >>> closest_in([one, one], ("uk", "ru")), closest_in([one], ("en", "ru"))
    (2, 0)
    """
    wins = 0
    for overlap in overlaps:
        names = list(overlap["pathways"])
        pairs = pair_overlaps(names, np.asarray(overlap["matrix"]))
        mine = [x for k, x in pairs.items() if set(k) == set(pair)]
        others = [x for k, x in pairs.items() if set(k) != set(pair)]
        wins += mine[0] > max(others, default=-1.0)
    return wins
