"""The report: every file, every number traced, nothing unescaped."""

import base64
import csv
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_kept

from leanbrain.checks import UserError
from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import analyse
from leanbrain.pruning.comparison.report import markdown_page, write_report
from leanbrain.pruning.comparison.rows import write_kept
from leanbrain.pruning.comparison.sections import pictures

HOSTILE = "a|b <script>$x^{$ *y* &lt; `=1"
METHODS = {
    "adaptive": ((None, 0.3, None), 1, 0.6),
    HOSTILE: ((None, 0.4, None), 5, None),
}
DRAWS = 50


class Page(HTMLParser):
    """Texts, headings, cells, pictures and open tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.images, self.sources = [], [], []
        self.headings, self.cells = [], []
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
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)
        if self.stack and self.stack[-1] == "td":
            self.cells.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A folder with a report of hostile names, what it is of; read only."""
    folder = tmp_path_factory.mktemp("report")
    kept = fake_kept.make(METHODS, ("en", "ru", "uk"), (1, 2))
    kept.host["<b>cpu</b>"] = HOSTILE
    path = write_kept(kept, folder)
    html = write_report(path, folder / "out", title=HOSTILE, draws=DRAWS)
    return html, kept, analyse(kept, draws=DRAWS)


@pytest.fixture(scope="module")
def page(report):
    return Page(report[0].read_text(encoding="utf-8"))


def test_report_writes_all_its_files(report):
    folder = report[0].parent
    assert sorted(x.name for x in folder.iterdir()) == [
        "density_1.png",
        "differences_1.png",
        "errors_1.png",
        "errors_2.png",
        "overlap_1.png",
        "report.html",
        "report.md",
        "rows.csv",
        "steps_1.png",
    ]
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_page_is_well_formed_and_escaped(page):
    assert page.stack == []
    assert "script" not in page.tags and "b" not in page.tags
    text = "".join(page.texts)
    assert HOSTILE in text and "<b>cpu</b>" in text
    assert page.texts.count(HOSTILE) >= 4  # title, heading, rows of tables


def test_page_says_first_what_readers_want_first(page, report):
    found = report[2]
    text = "".join(page.texts)
    places = [text.index(words.verdict(found))]
    places += [text.index(x) for x in words.details(found)]
    places.append(text.index("Errors against sparsity"))
    assert places == sorted(places)
    assert page.headings == [
        "Errors against sparsity",
        "Errors against training steps",
        "Differences",
        "All results",
        "Errors per language",
        "How much the languages share",
        "Density per layer",
        "Where the numbers come from",
    ]


def test_page_holds_every_table(page, report):
    found = report[2]
    made = (
        tables.differences,
        tables.results,
        tables.by_language,
        tables.overlaps,
    )
    wanted = [x for make in made for row in make(found)[1:] for x in row]
    given = iter(page.cells)
    assert all(cell in given for cell in wanted if cell)


def test_page_says_where_it_comes_from(page):
    text = "\n".join(page.texts)
    for wanted in (
        "cpu: Example CPU",
        fake_kept.COMMIT,
        "torch: 2.11.0",
        "en: 20",
        fake_kept.SUITE.strip(),
    ):
        assert wanted in text


def test_page_needs_nothing_else(page, report):
    start = "data:image/svg+xml;base64,"
    drawings = []
    for address in [x["src"] for x in page.images]:
        assert address.startswith(start)
        drawings.append(base64.b64decode(address[len(start) :]).decode())
    outside = r"(?:src|href|url|@import)\W{1,3}(?:https?:|//)"
    for text in [report[0].read_text(encoding="utf-8"), *drawings]:
        assert not re.search(outside, text)
    assert len(page.images) == len(page.sources) == 6
    assert all(x["alt"] for x in page.images)


def test_markdown_shows_the_same(report):
    html, _, found = report
    text = html.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# a\\|b &lt;script&gt;\\$x^{\\$ \\*y\\*")
    assert "<script" not in text
    for name in re.findall(r"!\[\w+\]\((\S+)\)", text):
        assert (html.parent / name).is_file()
    cells = [re.split(r"(?<!\\)\|", x) for x in text.splitlines()]
    lower = tables.differences(found)[1]
    assert any(
        len(row) == len(lower) + 2 and lower[2] in row[3] for row in cells
    )
    again = markdown_page(HOSTILE, found, ["errors_1.png"])
    assert "![errors_1](errors_1.png)" in again


def test_csv_holds_all_digits(report):
    html, kept, _ = report
    with open(html.parent / "rows.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(x["mean_cer"]) for x in rows] == [
        x["mean_cer"] for x in kept.rows
    ]
    assert {x["method"] for x in rows} == {"dense", "adaptive", HOSTILE}


def test_missing_results_are_named(tmp_path):
    with pytest.raises(UserError, match=r"compare_x.json does not exist"):
        write_report(tmp_path / "compare_x.json", tmp_path / "out")


def test_an_unknown_reference_is_named(report, tmp_path):
    with pytest.raises(UserError, match="`reference` must be one of adaptive"):
        write_report(report[1], tmp_path, reference="adaptve")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("curves, bands", [(3, 3), (7, 1)])
def test_curves_have_bands_however_many_points_stand_beside(curves, bands):
    curve, point = ((0.3, 0.4, 0.5), 1, 0.6), ((None, 0.4, None), 1, None)
    methods = {"adaptive": curve}
    methods |= {f"curve{i}": curve for i in range(curves - 1)}
    methods |= {f"point{i}": point for i in range(7)}
    found = analyse(fake_kept.make(methods, ("en", "ru"), (1, 2)), draws=10)
    assert len(found.curves) == curves
    axes = pictures(found)["errors_1.png"].axes[0]
    assert len(axes.collections) == bands
