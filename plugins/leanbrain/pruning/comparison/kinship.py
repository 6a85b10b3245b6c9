"""Which languages share most of their pathways, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leanbrain.pruning.comparison.clustering import (
    closest_in,
    differs,
    mean_overlap,
    pair_overlaps,
)
from leanbrain.pruning.comparison.points import Findings, Point
from leanbrain.pruning.comparison.rows import key
from leanbrain.pruning.comparison.tables import percent

__all__ = ["kinship"]


def kinship(found: Findings) -> list[str]:
    """Says which languages share most of their pathways.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        One sentence per method whose masks differ, at the sparsity where most
        methods were run; then one for each comparison of `related` pairs, per
        method and sparsity.
    """
    texts = [_closest(found, x) for x in found.at(found.main_sparsity)]
    for sparsity in found.sparsities:
        for point in found.at(sparsity):
            texts += [
                _related(found, point, *pairs) for pairs in found.kept.related
            ]
    return [text for text in texts if text]


def _closest(found: Findings, point: Point) -> str:
    """Names the pairs that share most and least."""
    runs = found.of_runs(found.kept.overlap, point)
    if not runs:
        return ""
    names, matrix = mean_overlap(runs)
    pairs = list(pair_overlaps(names, matrix).items())
    if not differs(matrix) or len(pairs) < 2:
        return ""
    (near, most), (far, least) = pairs[0], pairs[-1]
    seeds = closest_in(runs, near)
    return (
        f"{point.method}: {' and '.join(near)} share most ({most:.2f}; "
        f"more than any other pair in {seeds} of {len(runs)} seeds), "
        f"{' and '.join(far)} least ({least:.2f})."
    )


def _related(
    found: Findings, point: Point, near: Sequence[str], far: Sequence[str]
) -> str:
    """Compares two pairs of languages, seed by seed."""
    parts, wins = [], 0
    for seed in point.seeds:
        kept = found.kept.overlap.get(key(point.method, point.sparsity, seed))
        values = [_overlap(kept, pair) for pair in (near, far)] if kept else []
        if not values or None in values:
            continue
        one, other = (float(x or 0.0) for x in values)
        if one == other == 1.0:  # one mask for all
            continue
        sign = ">" if one > other else "<" if one < other else "="
        wins += one > other
        parts.append(f"seed {seed}: {one:.3f} {sign} {other:.3f}")
    if not parts:
        return ""
    return (
        f"{point.method} at {percent(point.sparsity)}: {' and '.join(near)} "
        f"share more than {' and '.join(far)} in {wins} of {len(parts)} seeds "
        f"({'; '.join(parts)})."
    )


def _overlap(kept: Mapping[str, Any], pair: Sequence[str]) -> float | None:
    """How much two languages share; None if either has no pathway."""
    names = list(kept["pathways"])
    if not all(x in names for x in pair):
        return None
    i, j = (names.index(x) for x in pair)
    return float(kept["matrix"][i][j])
