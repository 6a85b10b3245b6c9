"""What the rules ask for and nobody has run yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from leanbrain.optbench.protocol.rules import Rules
from leanbrain.optbench.report.rows import Selection

__all__ = ["waiting"]


def waiting(
    selection: Selection, variants: Mapping[str, Iterable[str]], rules: Rules
) -> tuple[str, ...]:
    """Names what still lacks the variants that the rules ask for.

    Arguments
    ---------
    selection : Selection
        The rows that are compared.
    variants : Mapping
        Workload -> names of the variants that were run.
    rules : Rules
        Whether there are to be any.

    Returns
    -------
    tuple[str, ...]
        Workloads of which no variant was run, and variants that a target was
        set for and that were not run.
    """
    if not rules.variants:
        return ()
    run = {(name, x) for name, names in variants.items() for x in names}
    some = {name for name, _ in run}
    wanted = {
        (selection.name(x), str(x["config"]["variant"]))
        for x in selection.rows["target_seed"]
        if x["config"].get("variant") is not None
    }
    left = [f"{name}/{x}" for name, x in wanted - run if name in some]
    return tuple(sorted([*left, *(x for x in variants if x not in some)]))
