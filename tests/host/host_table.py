#!/usr/bin/env python
"""One table of what pytest wrote in run_host_tests.sh.

Use:
> python host_table.py <folder> <part> ... [--markdown <page>]
> python host_table.py <folder> --failed <part>

<folder> holds versions.txt, <part>.xml of every part, and alone_<part>.xml of
what failed there and then ran without our code. The exit code is 1 where a
part that must pass has a failure without a reason in known.txt, or did not
run. The second form lists the failures of a part, as arguments of pytest.
"""

import argparse
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Part:
    """A line of the table: the file's name, the title, whether it must pass."""

    name: str
    title: str
    must_pass: bool = True


PARTS = (
    Part("recipes", "(a) consistency checks, recipe tests"),
    Part("layers", "(b) unit tests, examples, with our layers"),
    Part("sparsity_0", "(c) integration examples, pruned to 0 %"),
    Part("sparsity_30", "(c) integration examples, pruned to 30 %", False),
)


@dataclass
class Outcome:
    """What one run of pytest came to."""

    tests: int = 0
    failed: list = field(default_factory=list)  # names
    skipped: dict = field(default_factory=dict)  # name -> reason
    seconds: float = 0.0
    ran: bool = False

    @property
    def passed(self):
        """How many neither failed nor were skipped."""
        return self.tests - len(self.failed) - len(self.skipped)


def read(path):
    """What a JUnit file of pytest says.

    Arguments
    ---------
    path : Path
        Of the family xunit1, which names the files of the tests.

    Returns
    -------
    Outcome
        Not `ran` where there is no such file, or no test in it.
    """
    outcome = Outcome()
    if not path.is_file():
        return outcome
    for suite in ET.parse(path).getroot().iter("testsuite"):
        outcome.seconds += float(suite.get("time", 0))
    for case in ET.parse(path).getroot().iter("testcase"):
        outcome.tests += 1
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            outcome.failed.append(name_of(case))
        elif skip is not None:
            outcome.skipped[name_of(case)] = reason_of(skip)
    outcome.ran = outcome.tests > len(outcome.skipped)
    return outcome


def name_of(case):
    """<file>::<test>, as pytest takes it."""
    if case.get("file") is None:  # a file that could not be imported
        return case.get("classname") or case.get("name")
    if not case.get("classname"):
        return case.get("file")
    return f"{case.get('file')}::{case.get('name')}"


def reason_of(skip):
    """Why a test was skipped, without the place."""
    words = skip.get("message")
    if words == "collection skipped":  # a whole file: the text has the reason
        words = skip.text
    return re.sub(r".*Skipped: |['\"]\)$", "", words, flags=re.S)


def read_known(path):
    """Reasons by the end of a test's name; a line is `<name>: <reason>`."""
    known = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = (x.strip() for x in line.partition(": "))
            if not (name and reason):
                raise SystemExit(
                    f"{path} must hold `<end of a test's name>: <reason>` in "
                    f"every line, got {line!r}"
                )
            known[name] = reason
    return known


def why(name, known):
    """The reason that known.txt gives for a failure, or None."""
    return next((r for k, r in known.items() if name.endswith(k)), None)


def notes(part, outcome, alone, known):
    """A line for every failure and skipped test of a part.

    Arguments
    ---------
    part : Part
    outcome : Outcome
        With our code.
    alone : Outcome
        Of its failures, without.
    known : dict
        As `read_known` returns it.

    Returns
    -------
    list
        Of str.
    bool
        Whether the part is as it must be.
    """
    lines, good = [], True
    if not outcome.ran:
        lines.append(f"{part.name}: no test ran")
    for name in outcome.failed:
        reason = why(name, known)
        good = good and reason is not None
        words = [] if reason is None else [reason]
        if alone.ran:
            how = "fails" if name in alone.failed else "passes"
            words.append(f"{how} without our code")
        told = "; ".join(words) or "no reason known"
        lines.append(f"{part.name} failed: {name} ({told})")
    for name, reason in outcome.skipped.items():
        lines.append(f"{part.name} skipped: {name} ({reason})")
    return lines, outcome.ran and (good or not part.must_pass)


def table(outcomes):
    """Markdown, columns of equal width."""
    rows = [["part", "tests", "passed", "failed", "skipped", "seconds"]]
    for part, o in outcomes.items():
        counts = (o.tests, o.passed, len(o.failed), len(o.skipped))
        rows.append([part.title, *map(str, counts), f"{o.seconds:.0f}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    lines = [rows[0], rule, *rows[1:]]
    return "\n".join(
        "| "
        + " | ".join(
            [x[0].ljust(widths[0])]
            + [c.rjust(w) for c, w in zip(x[1:], widths[1:], strict=True)]
        )
        + " |"
        for x in lines
    )


def paste(page, text):
    """Puts text between the marks of a page."""
    pattern = r"(<!-- host tests -->\n).*?(<!-- end -->)"
    old = page.read_text(encoding="utf-8")
    new, found = re.subn(
        pattern, lambda m: m[1] + text + "\n" + m[2], old, flags=re.S
    )
    if found != 1:
        raise SystemExit(f"{page} must have <!-- host tests --> once")
    page.write_text(new, encoding="utf-8")


def main(arguments):
    """Prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--known", type=Path, default=HERE / "known.txt")
    parser.add_argument("--failed", help="part whose failures to list")
    parser.add_argument("--markdown", type=Path, help="page to paste into")
    chosen = parser.parse_args(arguments)
    if chosen.failed:
        print("\n".join(read(chosen.folder / f"{chosen.failed}.xml").failed))
        return 0
    unknown = set(chosen.parts) - {part.name for part in PARTS}
    if unknown or not chosen.parts:
        names = ", ".join(part.name for part in PARTS)
        parser.error(f"parts must be among {names}, got {chosen.parts}")
    known, remarks, all_good, outcomes = read_known(chosen.known), [], True, {}
    for part in [p for p in PARTS if p.name in chosen.parts]:
        outcomes[part] = read(chosen.folder / f"{part.name}.xml")
        alone = read(chosen.folder / f"alone_{part.name}.xml")
        lines, good = notes(part, outcomes[part], alone, known)
        remarks += lines
        all_good = all_good and good
    versions = chosen.folder / "versions.txt"
    parts = [versions.read_text(encoding="utf-8").strip(), table(outcomes)]
    text = "\n\n".join(
        parts + ["\n".join(f"- {line}" for line in remarks)] * bool(remarks)
    )
    print(text)
    if chosen.markdown:
        paste(chosen.markdown, text)
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
