"""Reading CSV strictly: every line is a row, or is named.

Python's own reader takes what it can get: a quotation mark that is not closed
swallows the lines below it, short rows are filled up, and a separator other
than the comma makes a single column.
"""

from __future__ import annotations

import csv
import logging
import os
import re

from leanbrain.checks import UserError
from leanbrain.files import read_text

__all__ = ["check_cell", "read_csv"]

logger = logging.getLogger(__name__)

StrPath = str | os.PathLike[str]
Row = dict[str, str]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Blanks, and those without width, which nobody sees: files that were joined
# have byte order marks within.
_BLANKS = re.compile(r"^[\s\u200b\u2060\ufeff]+|[\s\u200b\u2060\ufeff]+$")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv(path: StrPath) -> list[Row]:
    """Reads a CSV file with a header.

    Arguments
    ---------
    path : path
        UTF-8, with commas between the columns. A row is one line: a field in
        quotation marks may hold commas and doubled quotation marks, but no
        new line. Quotation marks inside of other fields are text.

    Returns
    -------
    list
        Column -> text, for every line below the header that is not empty.
        Blanks around names and values are left out, and it is said where
        there were some, but for spaces that follow a comma.

    Raises
    ------
    UserError
        If the file is missing or no UTF-8, if another character than the
        comma separates its columns, if a column has no name or that of
        another, or if a row has another number of columns, a quotation mark
        that is not closed, a control character, or a field that is longer
        than Python's reader takes (131,072 characters).

    Example
    -------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> path = Path(folder.name, "a.csv")
    >>> _ = path.write_text('ID,wrd\\na,"yes, please"')
    >>> read_csv(path)
    [{'ID': 'a', 'wrd': 'yes, please'}]
    >>> folder.cleanup()
    """
    lines = _lines(path)
    if not lines:
        return []
    stray: list[str] = []
    columns = _header(lines[0][1], path, stray)
    rows = [_row(line, columns, n, path, stray) for n, line in lines[1:]]
    if stray:
        logger.warning(
            "%s: %d names and values had blanks around them, which were left "
            "out; the first is %s",
            path,
            len(stray),
            stray[0],
        )
    return rows


def check_cell(text: str, where: str) -> str:
    """Checks that a text fits into one line of a table.

    Arguments
    ---------
    text : str
        A field.
    where : str
        Where it is, for the sentence.

    Returns
    -------
    str
        The text.

    Raises
    ------
    UserError
        If it holds a new line or another control character.
    """
    if found := _CONTROL.search(text):
        raise UserError(
            f"{where} must hold no control character, got "
            f"U+{ord(found[0]):04X}."
        )
    return text


def _lines(path: StrPath) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty."""
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    # Not splitlines: it breaks texts at characters that are no new line here.
    lines = enumerate(text.split("\n"), 1)
    return [(number, line) for number, line in lines if line.strip()]


def _header(line: str, path: StrPath, stray: list[str]) -> list[str]:
    """Names of the columns."""
    found = _fields(line, 1, path)
    for sign, name in _SEPARATORS.items():
        if len(found) == 1 and sign in line:
            raise UserError(
                f"the columns of {path} must be separated by commas, got "
                f"{name}."
            )
    names = [_stripped(x) for x in found]
    stray += [
        f"the column {x!r}"
        for x, name in zip(found, names, strict=True)
        if x != name
    ]
    columns = [check_cell(x, f"the header of {path}") for x in names]
    for i, name in enumerate(columns):
        if not name or name in columns[:i]:
            raise UserError(
                f"every column of {path} must have a name of its own, got "
                f"{name!r} for column {i + 1}."
            )
    return columns


def _row(
    line: str, columns: list[str], number: int, path: StrPath, stray: list[str]
) -> Row:
    """Column -> text of one line."""
    fields = _fields(line, number, path)
    if len(fields) != len(columns):
        raise UserError(
            f"every row of {path} must have {len(columns)} columns, got "
            f"{len(fields)} in line {number}, at {columns[0]} "
            f"{fields[0][:40]!r} (a field that holds a comma needs quotation "
            "marks around it)."
        )
    row = {}
    for column, field in zip(columns, fields, strict=True):
        text = _stripped(field)
        if text != field:
            stray.append(f"`{column}` in line {number}")
        where = f"`{column}` in line {number} of {path}"
        row[column] = check_cell(text, where)
    return row


def _stripped(text: str) -> str:
    """A text without blanks around it."""
    return _BLANKS.sub("", text)


def _fields(line: str, number: int, path: StrPath) -> list[str]:
    """The fields of one line."""
    # Some versions of Python's reader refuse these by themselves.
    if "\0" in line:
        check_cell("\0", f"line {number} of {path}")
    try:
        return next(csv.reader([line], strict=True, skipinitialspace=True))
    except csv.Error as error:
        if str(limit := csv.field_size_limit()) in str(error):
            raise UserError(
                f"a field of {path} must have at most {limit:,} characters, "
                f"got more of them in line {number}, {line[:60]!r}."
            ) from error
        raise UserError(
            f"a field of {path} that begins with a quotation mark must end "
            "with one, in the same line, and those in between must be "
            f"doubled, got {line[:60]!r} in line {number} ({error})."
        ) from error
