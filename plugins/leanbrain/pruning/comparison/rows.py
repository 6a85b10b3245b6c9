"""What a comparison keeps: two files that hold all that its report needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_text
from leanbrain.tables import read_csv
from leanbrain.text import csv_text

__all__ = [
    "Kept",
    "commits_of",
    "joined_commits",
    "key",
    "parts",
    "read_kept",
    "write_kept",
]

Row = dict[str, Any]
_TEXT = ("method", "commit", "cpu", "torch", "speechbrain")
_WHOLE = ("seed", "steps", "total_steps", "start_steps", "cores")


@dataclass(frozen=True)
class Kept:
    """The results of a comparison, without the folders of its runs.

    Arguments
    ---------
    name : str
        That of the suite.
    rows : Sequence[dict]
        One for each method, sparsity and seed: "method", "sparsity", "seed",
        "steps" (of its last run), "total_steps", "flops" and "minutes" (of
        all runs that it took beyond the dense start), "start_steps" (of that
        start, 0 from scratch), "mean_cer", "mean_wer", "cer_<language>" and
        "wer_<language>" (percent, of the test set), "union_density",
        "overlap_<a>_<b>" (of two languages), "commit" (`joined_commits` of
        all its runs), "cpu", "cores", "torch", "speechbrain". What is not
        known is None or not there.
    suite : str
        The YAML of the suite.
    languages : Sequence[str]
        The languages.
    utterances : Mapping
        "ids" and "characters" (of the reference): language -> list; "edits":
        `key` -> language -> list, of the rows for which they are known.
    density : Mapping
        `key` -> pathway -> parameter -> share that is kept.
    overlap : Mapping
        `key` -> "pathways" and "matrix" (intersection over union).
    host, commit, versions
        Where it was kept.
    related : Sequence
        Two pairs of languages each; see `suite.Suite`.
    """

    name: str
    rows: Sequence[Row]
    suite: str
    languages: Sequence[str]
    utterances: Mapping[str, Any]
    density: Mapping[str, Any] = field(default_factory=dict)
    overlap: Mapping[str, Any] = field(default_factory=dict)
    host: Mapping[str, Any] = field(default_factory=dict)
    commit: str = "unknown"
    versions: Mapping[str, str] = field(default_factory=dict)
    related: Sequence[Any] = field(default_factory=list)


def key(method: str, sparsity: float, seed: int) -> str:
    """Names a row.

    Example
    -------
    >>> key("lap", 0.8, 3)
    'lap|0.8|3'
    """
    return f"{method}|{sparsity:.12g}|{seed}"


def joined_commits(commits: Iterable[str]) -> str:
    """Writes the commits that a row is of, each once.

    Example
    -------
    >>> joined_commits(["b", "a", "b"])
    'a, b'
    """
    return ", ".join(sorted(set(commits)))


def commits_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lists all commits that some rows are of.

    Example
    -------
    >>> commits_of([{"commit": "a, b"}, {"commit": "a, c"}])
    ['a', 'b', 'c']
    """
    return sorted({y for x in rows for y in str(x.get("commit")).split(", ")})


def parts(name: str) -> tuple[str, float, int]:
    """Takes a row's name apart.

    Example
    -------
    >>> parts("lap|0.8|3")
    ('lap', 0.8, 3)
    """
    method, sparsity, seed = name.rsplit("|", 2)
    return method, float(sparsity), int(seed)


def write_kept(kept: Kept, folder: str | os.PathLike[str]) -> Path:
    """Writes compare_<name>.json, and compare_<name>.csv beside it.

    Arguments
    ---------
    kept : Kept
        The results.
    folder : path
        Where; it is made.

    Returns
    -------
    Path
        The JSON file.
    """
    path = Path(folder) / f"compare_{kept.name}.json"
    columns = list(dict.fromkeys(k for row in kept.rows for k in row))
    lines = [[row.get(k) for k in columns] for row in kept.rows]
    content = asdict(kept)
    for taken in ("name", "rows"):
        del content[taken]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.with_suffix(".csv"), csv_text(columns, lines))
    # Lists of thousands of numbers: a line each would be ten times as long.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")
    return path


def read_kept(path: str | os.PathLike[str]) -> Kept:
    """Reads what `write_kept` wrote.

    Arguments
    ---------
    path : path
        compare_<name>.json; the CSV lies beside it.

    Returns
    -------
    Kept

    Raises
    ------
    UserError
        If a file is missing, broken or of something else.
    """
    path = Path(path)
    table = path.with_suffix(".csv")
    content, lines = read_json(path), read_csv(table)
    try:
        rows = [_typed(row) for row in lines]
        name = path.stem.removeprefix("compare_")
        return Kept(name=name, rows=rows, **content)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"The files {path.name} and {table.name} in {path.parent} must be "
            f"kept results of a comparison, but they are not ({error})."
        ) from error


def _typed(row: Mapping[str, str]) -> Row:
    """Turns the numbers of a line of CSV into numbers again."""
    return {name: _value(name, text) for name, text in row.items()}


def _value(name: str, text: str) -> Any:
    """One cell."""
    if name in _TEXT:
        return text
    if text == "":
        return None
    return int(text) if name in _WHOLE else float(text)
