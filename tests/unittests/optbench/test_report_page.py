"""The page needs nothing else, and no text of a user does anything in it."""

import base64
import csv
import io
import re
from html.parser import HTMLParser

import fake_ledger as fake
import pytest
from fake_report import HOSTILE_FILE

from leanbrain.chart_style import DARK, LIGHT, recolour, to_svg
from leanbrain.optbench.report import charts as report_charts
from leanbrain.text import csv_text, markdown_text


class Page(HTMLParser):
    """Texts, pictures and open tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.images, self.sources = [], [], []
        self.stack, self.tags = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attributes))
        elif tag == "source":
            self.sources.append(dict(attributes))
        elif tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(hostile):
    return Page((hostile / "report.html").read_text(encoding="utf-8"))


def test_page_is_well_formed_and_escaped(page):
    assert page.stack == []
    assert "script" not in page.tags and "b" not in page.tags
    text = "".join(page.texts)
    for wanted in (
        fake.HOSTILE,
        f"order of data | {fake.HOSTILE}",
        f"lstm{HOSTILE_FILE}",
        f"relu{fake.HOSTILE}",
        f"c0ffee{fake.HOSTILE}",
        f"torch: {fake.HOSTILE}",
        "Example CPU <b>9</b>",
        "name: cpu",
    ):
        assert wanted in text


def test_page_needs_nothing_else(hostile, page):
    addresses = [x["src"] for x in page.images]
    addresses += [x["srcset"] for x in page.sources]
    start = "data:image/svg+xml;base64,"
    assert len(page.images) == len(page.sources) == 17
    assert all(x.startswith(start) for x in addresses)
    drawings = [base64.b64decode(x[len(start) :]).decode() for x in addresses]
    outside = r"(?:src|href|url|@import)\W{1,3}(?:https?:|//)"
    text = (hostile / "report.html").read_text(encoding="utf-8")
    for one in [text, *drawings]:
        assert not re.search(outside, one)
    assert "<a " not in text and "<link" not in text
    assert all(x["alt"] for x in page.images)


def test_markdown_is_escaped(hostile):
    text = (hostile / "report.md").read_text(encoding="utf-8")
    # The rules are a block of code, set off by four blanks.
    lines = [x for x in text.splitlines() if not x.startswith("    ")]
    assert "<" not in "".join(lines)
    assert "&lt;script&gt;alert('x')&lt;/script&gt;\\|\\`=1+1\\`" in text
    assert "https://" not in text
    tables = [x for x in lines if x.startswith("|")]
    widths = []
    for line in tables:
        cells = re.split(r"(?<!\\)\|", line)
        if set(line) <= set("|-:"):
            assert len(cells) == widths[-1]
        widths.append(len(cells))
    assert len(tables) > 60


def test_csv_holds_no_formula(hostile):
    for name in ("report.csv", "trials.csv"):
        with open(hostile / name, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len({len(row) for row in rows}) == 1
        for cell in (x for row in rows for x in row):
            if cell.lstrip(" ").startswith(("=", "+", "-", "@")):
                float(cell)  # a number
    text = (hostile / "trials.csv").read_text(encoding="utf-8")
    assert "'=HYPERLINK(" in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t=", "\r="])
def test_texts_that_look_like_formulas_are_disarmed(start):
    (row,) = csv.reader(io.StringIO(csv_text([start + "1"], []), newline=""))
    # A lone carriage return would begin a new line.
    assert row == ["'" + start.replace("\r", " ") + "1"]


def test_markdown_text_shows_every_character():
    text = "a|b\\c`d`*e*[f](g)<h>&_i_ j_k ~l~\n# m"
    shown = re.sub(r"\\(.)", r"\1", markdown_text(text))
    for code, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(code, char)
    assert shown == text.replace("\n", " ")
    assert not re.search(r"(?<!\\)[|`*\[\]~]", markdown_text(text))
    assert "j_k" in markdown_text(text)


def numbered(svg):
    """Numbers the names of marks, which are hashes of their colours."""
    names = dict.fromkeys(re.findall(r'id="([mp][0-9a-f]{10})"', svg))
    for i, name in enumerate(names):
        svg = svg.replace(name, f"mark{i}")
    return svg


def test_dark_pictures_are_what_drawing_them_would_give(found):
    for chapter in (
        report_charts.scores(found),
        report_charts.times(found),
        report_charts.progress(found),
        report_charts.sensitivity(found),
        report_charts.costs(found),
    ):
        # Charts of a chapter are of the same kinds: two of each will do.
        for chart in chapter.charts[:2]:
            assert chart.plain
            light, dark = (to_svg(chart.draw(theme=x)) for x in (LIGHT, DARK))
            assert light != dark
            assert numbered(recolour(light, LIGHT, DARK)) == numbered(dark)
