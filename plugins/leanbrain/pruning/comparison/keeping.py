"""Keeps results where they are committed: no fewer, and of the same speech."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.method import START
from leanbrain.pruning.comparison.rows import (
    Kept,
    Row,
    key,
    read_kept,
    write_kept,
)

__all__ = ["keep", "merged"]


def keep(
    kept: Kept, folder: str | os.PathLike[str], *, force: bool = False
) -> Path:
    """Replaces kept results by newer ones that hold all their rows.

    They must be of the same test utterances.

    Arguments
    ---------
    kept : Kept
        The new results.
    folder : path
        Where those of the same name lie, if there are any.
    force : bool
        Whether rows may vanish, or be of other utterances.

    Returns
    -------
    Path
        The file, as `write_kept` returns it.

    Raises
    ------
    UserError
        If rows would vanish or be of other utterances, or if what is there
        cannot be read; nothing has been written then.
    """
    path = Path(folder) / f"compare_{kept.name}.json"
    if not force and _is_there(path):
        old, new = read_kept(path), _names(kept)
        lost = [x for x in _names(old) if x not in new]
        if lost:
            raise UserError(
                f"The kept results {path.with_suffix('.csv')} must not lose "
                f"rows (--force lets them), got results without {len(lost)} of "
                f"them, such as {lost[0]}."
            )
        _check_speech(path, *(x.utterances.get("ids", {}) for x in (old, kept)))
    return write_kept(kept, folder)


def merged(kept: Kept, folder: str | os.PathLike[str]) -> Kept:
    """Adds rows that were kept before to newer results that lack them.

    For suites that are run in parts on several machines. A dense start is
    another model on another kind of machine, so a row joins only if it begins
    with random weights, or if both results have the same start for its seed.
    The suite must be the same but for its methods, seeds and sparsities; what
    it says of a method that both have, too.

    Arguments
    ---------
    kept : Kept
        The new results; of rows that both have, theirs stay.
    folder : path
        Where earlier ones of the same name lie.

    Returns
    -------
    Kept
        All rows, those that were there before first; the new ones alone if
        nothing is there.

    Raises
    ------
    UserError
        If the test utterances, the budgets or a method's settings differ, a
        row has another start, or if what is there cannot be read.
    """
    path = Path(folder) / f"compare_{kept.name}.json"
    if not _is_there(path):
        return kept
    old = read_kept(path)
    _check_budget(old.suite, kept.suite)
    _check_methods(old.suite, kept.suite)
    for part in ("ids", "characters"):
        parts = [x.utterances.get(part, {}) for x in (old, kept)]
        _check_speech(path, *parts)
        _check_speech(path, *reversed(parts))
    new = {_name(x): x for x in kept.rows}
    missing = [x for x in old.rows if _name(x) not in new]
    sources = _sources(kept.suite)
    for row in missing:
        _check_start(row, old, kept)
        source = sources.get(row["method"])
        if any(
            x["method"] == source and x["seed"] == row["seed"]
            for x in new.values()
        ):
            raise UserError(
                f"{_name(row)} must start from masks of {source} that are "
                f"among the rows, got others of that method now: run "
                f"{row['method']} again as well."
            )
    names = {_name(x) for x in missing}
    rows = [new.pop(_name(x), x) for x in old.rows]
    edits = _joined(names, old.utterances["edits"], kept.utterances["edits"])
    return replace(
        kept,
        rows=[*rows, *new.values()],
        utterances={**kept.utterances, "edits": edits},
        density=_joined(names, old.density, kept.density),
        overlap=_joined(names, old.overlap, kept.overlap),
    )


def _check_start(row: Row, old: Kept, new: Kept) -> None:
    """Refuses a row that would stand beside rows of another dense model."""
    if not row["start_steps"]:
        return
    starts = [_start_error(x, row["seed"]) for x in (old, new)]
    # Without a dense start, none of the new rows of the seed began with one.
    if starts[1] is not None and starts[0] != starts[1]:
        raise UserError(
            "Rows that are merged must start from the same dense model, got "
            f"{_name(row)} beside another `{START}` of its seed (mean CER "
            f"{starts[0]} and {starts[1]}): run its method again."
        )


def _is_there(path: Path) -> bool:
    """Whether there is any of the two files of kept results."""
    return path.exists() or path.with_suffix(".csv").exists()


def _check_budget(old: str, new: str) -> None:
    """Refuses rows of suites that differ in more than what is asked for."""
    before, now = (_fixed_part(text) for text in (old, new))
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            raise UserError(
                "Results that are merged must be of suites with the same "
                f"`{name}`, got {now.get(name)} beside {before.get(name)}."
            )


def _check_methods(old: str, new: str) -> None:
    """Refuses rows of one name that two suites make in different ways."""
    before, now = (_settings(text) for text in (old, new))
    for name in before.keys() & now.keys():
        if before[name] != now[name]:
            raise UserError(
                "Results that are merged must be of methods with the same "
                f"settings, got {now[name]} for {name} beside {before[name]}."
            )


def _settings(text: str) -> dict[str, dict[str, Any]]:
    """What a suite says of each method but for the sparsities and seeds."""
    methods = yaml.safe_load(text)["methods"]
    free = ("name", "sparsities", "seeds")
    return {
        x["name"]: {k: v for k, v in x.items() if k not in free}
        for x in methods
    }


def _fixed_part(text: str) -> dict[str, Any]:
    """What the rows of a suite have in common, as its YAML says it."""
    free = ["methods", "seeds", "sparsities", "related"]
    free += ["step_s", "run_s", "keep_checkpoints"]
    keys = yaml.safe_load(text)
    return {k: v for k, v in keys.items() if k not in free}


def _sources(text: str) -> dict[str, str]:
    """Of the methods that start from another one's masks: from whose."""
    methods = yaml.safe_load(text)["methods"]
    return {
        x["name"]: x["masks_from"]["method"]
        for x in methods
        if x.get("masks_from")
    }


def _start_error(kept: Kept, seed: int) -> float | None:
    """The mean CER of a seed's dense start, if it is among the rows."""
    found = [
        x["mean_cer"]
        for x in kept.rows
        if x["method"] == START and x["seed"] == seed
    ]
    return found[0] if found else None


def _joined(
    names: set[str], old: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, Any]:
    """What is known of all rows: of some names from before."""
    return {**{x: old[x] for x in names if x in old}, **new}


def _check_speech(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Refuses results of other data under the name of the suite."""
    others = [
        language for language in old if old[language] != new.get(language)
    ]
    if others:
        raise UserError(
            f"The kept results {path.with_suffix('.csv')} must stay those of "
            "their test utterances (--force without --merge replaces them), "
            f"got others of {', '.join(others)}."
        )


def _names(kept: Kept) -> list[str]:
    """The rows by name."""
    return [_name(x) for x in kept.rows]


def _name(row: Row) -> str:
    """Names a row."""
    return key(row["method"], row["sparsity"], row["seed"])
