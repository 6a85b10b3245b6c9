"""The report of a benchmark, from its ledger alone.

Nothing is run again, and nothing is read but the ledger and the rules.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.files import write_text
from leanbrain.optbench.protocol.rules import Rules, load_rules
from leanbrain.shipped import find_yaml

__all__ = ["write_report"]

RULES_FILE = "rules.yaml"
TITLE = "Which optimizer trains first"


def write_report(
    root: str | os.PathLike[str],
    rules: Rules | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    title: str = TITLE,
) -> Path:
    """Writes what a ledger says, as a page, Markdown, CSV and for TensorBoard.

    Arguments
    ---------
    root : path
        The folder of the benchmark, which holds the ledger.
    rules : Rules | path | None
        How it is scored, or the YAML file that says so, by its path or as one
        of LeanBrain's by its name; None takes the file `rules.yaml` in `root`.
    out : path | None
        Where the report goes; None: into `root`.
    title : str
        Heading of the page.

    Returns
    -------
    Path
        The file `report.html`, which needs no other file and no network.
        Beside it: `report.md`, `report.csv` (a line per optimizer and
        workload), `trials.csv` (a line per trial), `tensorboard/`.

    Raises
    ------
    UserError
        If there is no ledger, if it is empty, or if the rules are wrong.
    """
    # matplotlib and TensorBoard take a second each: only where they are used.
    from leanbrain.optbench.report.analysis import analyse
    from leanbrain.optbench.report.board import write_board
    from leanbrain.optbench.report.collect import collect
    from leanbrain.optbench.report.csv_files import summary_csv, trials_csv
    from leanbrain.optbench.report.page import html_page, markdown_page

    root = Path(root)
    out = root if out is None else Path(out)
    rules, rules_text = _rules(root, rules)
    rows, problems = _read(root)
    found = analyse(collect(rows, rules), problems)
    page = html_page(title, found, rules_text)
    write_text(out / "report.html", page)
    write_text(out / "report.md", markdown_page(title, found, rules_text))
    write_text(out / "report.csv", summary_csv(found))
    write_text(out / "trials.csv", trials_csv(found))
    write_board(out / "tensorboard", found.outcomes)
    return out / "report.html"


def _rules(
    root: Path, rules: Rules | str | os.PathLike[str] | None
) -> tuple[Rules, str]:
    """Loads the rules; returns them and their text."""
    if isinstance(rules, Rules):
        import dataclasses

        import yaml

        plain = dataclasses.asdict(rules)
        target = plain["target"]
        target.update({k: list(x) for k, x in target.items() if _is_tuple(x)})
        return rules, yaml.safe_dump(plain, sort_keys=False)
    path = root / RULES_FILE if rules is None else find_yaml("rules", rules)
    if rules is None and not path.is_file():
        raise UserError(
            f"The folder {root} has no {RULES_FILE}: name the rules with "
            "--rules."
        )
    return load_rules(path), path.read_text(encoding="utf-8")


def _is_tuple(value: object) -> bool:
    """Whether a value is a tuple, which YAML would tag."""
    return isinstance(value, tuple)


def _read(root: Path) -> tuple[list[dict], list[str]]:
    """Reads the ledger; returns rows and what is wrong with its lines."""
    from leanbrain.experiments.ledger import Ledger

    ledger = Ledger(root)
    with warnings.catch_warnings():
        # They are on the page.
        warnings.simplefilter("ignore")
        rows = ledger.read()
    if not rows:
        raise UserError(f"The folder {root} has no ledger with trials in it.")
    # The page says which line, not where the file lies on this machine.
    place = f"{ledger.path}"
    return rows, [x.replace(place, ledger.path.name) for x in ledger.problems]
