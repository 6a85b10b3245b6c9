"""CSV: every line is a row of the file's own columns, or is named."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.tables import check_cell, read_csv
from leanbrain.text import csv_text


def save(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


RIGHT = {
    "plain": "ID,wrd\na,yes\nb,no\n",
    "no last line end": "ID,wrd\na,yes\nb,no",
    "windows": "ID,wrd\r\na,yes\r\nb,no\r\n",
    "old mac": "ID,wrd\ra,yes\rb,no\r",
    "byte order mark": "\ufeffID,wrd\na,yes\nb,no\n",
    "quoted": '"ID","wrd"\n"a","yes"\n"b","no"\n',
    "blanks after commas": "ID, wrd\na, yes\nb, no\n",
    "empty lines": "\nID,wrd\n\na,yes\n   \nb,no\n\n",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_other_programs_write_is_read(tmp_path, text):
    rows = [{"ID": "a", "wrd": "yes"}, {"ID": "b", "wrd": "no"}]
    assert read_csv(save(tmp_path, text)) == rows


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"yes, please"', "yes, please"),
        ('"he said ""yes"""', 'he said "yes"'),
        ('he said "yes"', 'he said "yes"'),
        ('5" of snow', '5" of snow'),
        ("l'eau", "l'eau"),
        ("a\u2028bc", "a\u2028bc"),
        ("", ""),
        ('""', ""),
    ],
)
def test_quotation_marks_and_odd_characters(tmp_path, field, text):
    """A separator of lines in Unicode is no new line of a file."""
    rows = read_csv(save(tmp_path, f"ID,wrd\na,{field}\nb,no\n"))
    assert [row["wrd"] for row in rows] == [text, "no"]


WRONG = {
    "lone mark": ('ID,wrd\na,yes\nb,"so he said\nc,no\n', "in line 3"),
    "lone mark at the end": ('ID,wrd\nb,"so he said', "in line 2"),
    "lone mark in a header": ('ID,"wrd\na,b\n', "in line 1"),
    "text after the mark": ('ID,wrd\na,"so" he said\n', "in line 2"),
    "new line in a field": ('ID,wrd\na,"so\nhe said"\n', "in line 2"),
    "short row": ("ID,lang,wrd\na,en\n", "3 columns, got 2 in line 2, at ID"),
    "long row": ("ID,wrd\na,yes, please\n", "2 columns, got 3 in line 2"),
    "semicolons": ("ID;wrd\na;yes\n", "separated by commas, got semicolons"),
    "tabs": ("ID\twrd\na\tyes\n", "separated by commas, got tabs"),
    "column twice": ("ID,wrd,ID\na,b,c\n", "got 'ID' for column 3"),
    "column without a name": ("ID,,wrd\na,b,c\n", "got '' for column 2"),
    "tab in a field": (
        "ID,wrd\na,b\tc\n",
        "hold no control character, got U.0009",
    ),
    "zero byte": ("ID,wrd\na,b\0c\n", "hold no control character, got U.0000"),
    "control": ("ID,wrd\na,b\x85c\n", "hold no control character, got U.0085"),
    "utf-16": ("ID,wrd\na,b\n".encode("utf-16"), "must be UTF-8 text"),
    "latin 1": ("ID,wrd\na,é\n".encode("latin-1"), "must be UTF-8 text"),
    "endless": (
        "ID,wrd\na," + "b" * 200_000 + "\n",
        "at most 131,072 characters, got more of them in line 2",
    ),
    "endless in marks": (
        'ID,wrd\na,"' + "b" * 200_000 + '"\n',
        "at most 131,072 characters, got more of them in line 2",
    ),
    "long and a lone mark": (
        f'ID,wrd\n{"b" * 131_000},"so he said\n',
        "must end with one, .* in line 2",
    ),
}


@pytest.mark.parametrize(("text", "match"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_sentence(tmp_path, text, match):
    with pytest.raises(UserError, match=rf"a\.csv.*({match})") as caught:
        read_csv(save(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_stray_blanks_are_left_out_and_said(tmp_path, caplog):
    text = "ID, lang ,wrd\ufeff\na,en ,yes\nb,\u00a0en,no\nc,en\u200b,no\n"
    rows = read_csv(save(tmp_path, text))
    assert [row["lang"] for row in rows] == ["en"] * 3
    assert rows[0]["wrd"] == "yes"
    assert "5 names and values had blanks" in caplog.text
    assert "the first is the column 'lang '" in caplog.text
    caplog.clear()
    read_csv(save(tmp_path, "ID, lang\na, en\n"))
    assert not caplog.text


@pytest.mark.parametrize("text", ["", "\n \n", "ID,wrd\n", "\ufeff"])
def test_nothing_is_no_row(tmp_path, text):
    assert read_csv(save(tmp_path, text)) == []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"The file .*a.csv does not exist"):
        read_csv(tmp_path / "a.csv")


TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc"))).map(str.strip)


@settings(max_examples=100)
@given(rows=st.lists(st.tuples(TEXT.filter(bool), TEXT), min_size=1))
def test_what_python_writes_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("ID", "wrd"), *rows])
    assert [tuple(row.values()) for row in read_csv(path)] == rows


def test_what_reports_write_is_read(tmp_path):
    reason = 'Traceback:\n  File "x", line 1\r\nError: a, b'
    path = save(tmp_path, csv_text(["ID", "reason"], [["a", reason]]))
    (row,) = read_csv(path)
    assert row["reason"] == 'Traceback:   File "x", line 1  Error: a, b'


def test_cells_hold_one_line():
    assert check_cell('so, "he" said\'', "x") == 'so, "he" said\''
    with pytest.raises(UserError, match=r"x must hold no .* got U\+000A"):
        check_cell("so\nhe said", "x")
