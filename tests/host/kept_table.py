"""What try_families.py and check_pages.py found, as tables in Markdown.

Run: python tests/host/kept_table.py tests/host/results/families.json <page>
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from convert_recipes import head
from convert_table import paste

from leanbrain.checks import UserError
from leanbrain.files import read_json, write_json
from leanbrain.provenance import commit, host_facts, short_commit, versions

__all__ = ["clone", "keep", "line", "read_options", "table"]

Row = dict[str, str]


def read_options(doc: str, words: list[str] | None) -> argparse.Namespace:
    """Reads what to try, by words in names, and where to keep the results."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="words of names; default: all")
    parser.add_argument("--json", metavar="FILE", help="keep the results")
    parser.add_argument("--markdown", metavar="PAGE", help="fill in its table")
    options = parser.parse_args(words)
    if options.names and options.markdown and not options.json:
        raise UserError(
            "`--markdown` for some names must have `--json` with the other "
            "rows, got none."
        )
    if options.names and options.json:
        read_json(options.json)  # what it lacks is said now, not at the end
    return options


def clone() -> Path:
    """The clone of SpeechBrain that the environment names."""
    named = os.environ.get("SPEECHBRAIN_REPO")
    if not named or not Path(named, "recipes").is_dir():
        raise UserError(
            "`SPEECHBRAIN_REPO` must be a clone of speechbrain, got "
            f"{named or 'nothing'}."
        )
    return Path(named).resolve()


def keep(
    options: argparse.Namespace, mark: str, rows: list[Row], repo: Path
) -> None:
    """Writes the rows, beside kept ones of other names, if some were chosen.

    Arguments
    ---------
    options : Namespace
        From `read_options`.
    mark : str
        Of the table in the page: `<!-- mark -->`.
    rows : list of dict
        Title of a column -> cell; the first is a name.
    repo : Path
        The clone.
    """
    if not rows:
        raise UserError(
            "A name must contain one of the given words, got "
            f"{' '.join(options.names)}."
        )
    name, tried_with = next(iter(rows[0])), short_commit(commit(__file__))
    new = {row[name]: {**row, "commit": tried_with} for row in rows}
    if options.names:
        before = {row[name]: row for row in read_json(options.json)["rows"]}
        new = before | new
    result = {
        "table": mark,
        "rows": list(new.values()),
        "speechbrain_commit": head(repo),
        "versions": versions(),
        "host": host_facts(),
    }
    if options.json:
        write_json(options.json, result)
    if options.markdown:
        paste(Path(options.markdown), table(result), mark)


def table(result: dict[str, Any]) -> str:
    """The table with its versions.

    Arguments
    ---------
    result : dict
        As `keep` keeps it.

    Returns
    -------
    str
        Markdown.
    """
    rows, used = result["rows"], result["versions"]
    return "\n".join(
        [
            line(list(rows[0])),
            f"|{'---|' * len(rows[0])}",
            *(line(list(row.values())) for row in rows),
            "",
            f"SpeechBrain {used['speechbrain']} (recipes of commit "
            f"{short_commit(result['speechbrain_commit'])}), LeanBrain "
            f"{used['leanbrain']}, PyTorch {used['torch']}; each row is of "
            "the commit of LeanBrain that it names.",
        ]
    )


def line(cells: list[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    kept = read_json(sys.argv[1])
    paste(Path(sys.argv[2]), table(kept), kept["table"])
