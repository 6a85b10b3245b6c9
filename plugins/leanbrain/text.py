"""How numbers and names become text: on a page, in Markdown, in CSV."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "csv_text",
    "fill_tables",
    "interval",
    "markdown_table",
    "markdown_text",
    "number",
]

_UNKNOWN = "–"
# An underscore inside a word stays as it is: muon_adamw.
_SPECIAL = re.compile(r"[\\`*\[\]!|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # but the tab
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")


def number(value: float | None, digits: int = 3) -> str:
    """Writes a number with some significant digits.

    Arguments
    ---------
    value : float | None
        The number; None and NaN are unknown.
    digits : int
        How many digits count.

    Returns
    -------
    str
        The number, never in powers of ten between 0.0001 and a million.

    Example
    -------
    >>> [number(x) for x in (0.012345, 12345.6, float("inf"), None)]
    ['0.0123', '12346', '∞', '–']
    """
    if value is None or math.isnan(value):
        return _UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and not 1e-4 <= size < 1e6:
        return f"{value:.{digits - 1}e}"
    # The exponent after rounding: 9.996 is 10.0.
    exponent = int(f"{size:e}".partition("e")[2]) if size else 0
    if size and round(size, digits - 1 - exponent) >= 10.0 ** (exponent + 1):
        exponent += 1
    return f"{value:.{max(digits - 1 - exponent, 0)}f}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """Writes an interval.

    Example
    -------
    >>> interval(0.7012, float("inf"))
    '0.701 to ∞'
    """
    return f"{number(low, digits)} to {number(high, digits)}"


def markdown_text(text: str) -> str:
    """Escapes a text for Markdown; it shows as it is, on one line.

    Arguments
    ---------
    text : str
        Any text.

    Returns
    -------
    str
        The text for the inside of a paragraph or of a table's cell.

    Example
    -------
    >>> markdown_text("muon_adamw <b>|*")
    'muon_adamw &lt;b&gt;\\\\|\\\\*'
    """
    line = " ".join(text.split())
    line = _SPECIAL.sub(lambda x: "\\" + x.group(0), line)
    line = html.escape(line, quote=False)
    # Some readers of Markdown turn bare addresses into links.
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Writes a table, aligned for a console.

    Arguments
    ---------
    rows : Sequence
        Cells, the header first.

    Returns
    -------
    str
        The table; the first column is set left, the others right.

    Example
    -------
    >>> print(markdown_table([["name", "s"], ["a|b", "12.5"]]))
    | name |    s |
    |------|-----:|
    | a\\|b | 12.5 |
    """
    cells = [[markdown_text(x) for x in row] for row in rows]
    columns = zip(*cells, strict=True)
    widths = [max(3, *(len(x) for x in column)) for column in columns]
    lines = []
    for i, row in enumerate(cells):
        texts = [row[0].ljust(widths[0])]
        pairs = zip(row[1:], widths[1:], strict=True)
        texts += [text.rjust(width) for text, width in pairs]
        lines.append("| " + " | ".join(texts) + " |")
        if i == 0:
            rules = ["-" * (widths[0] + 2)]
            rules += ["-" * (width + 1) + ":" for width in widths[1:]]
            lines.append("|" + "|".join(rules) + "|")
    return "\n".join(lines)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Writes CSV that a spreadsheet does not run.

    Arguments
    ---------
    header : Sequence[str]
        Names of the columns.
    rows : Iterable
        Numbers, which keep all their digits, and texts; None is empty.

    Returns
    -------
    str
        The file's content. A text that a spreadsheet would take for a
        formula begins with an apostrophe.

    Example
    -------
    >>> csv_text(["a", "b"], [["=1+1", -0.5]])
    "a,b\\n'=1+1,-0.5\\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_guarded(x) for x in header])
    writer.writerows([_guarded(x) for x in row] for row in rows)
    return buffer.getvalue()


def _guarded(value: Any) -> Any:
    """Takes the effect of a text that looks like a formula."""
    if isinstance(value, str):
        # A row is one line of the table, whoever reads it.
        value = _CONTROL.sub(" ", value)
        # Spreadsheets pass over blanks in front of a formula.
        risky = value.lstrip(" ").startswith(_RISKY)
        return f"'{value}" if risky else value
    return value


def fill_tables(
    text: str, make: Callable[[str], str | None], word: str = "table"
) -> str:
    """Makes the tables of a page anew, between their marks.

    Arguments
    ---------
    text : str
        The page, with `<!-- table: NAME -->` and `<!-- end -->` around each.
    make : callable
        Name -> table; None leaves the one that is there.
    word : str
        What marks begin with.

    Returns
    -------
    str

    Example
    -------
    >>> fill_tables("<!-- table: a -->\\nold\\n<!-- end -->", str.upper)
    '<!-- table: a -->\\nA\\n<!-- end -->'
    """

    def anew(match: re.Match[str]) -> str:
        """One table with its marks."""
        made = make(match[2])
        return match[0] if made is None else f"{match[1]}{made}\n{match[3]}"

    mark = rf"(<!-- {word}: (\w+) -->\n).*?(<!-- end -->)"
    return re.sub(mark, anew, text, flags=re.S)
