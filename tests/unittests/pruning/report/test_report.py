"""The report: numbers as in the files, errors by name, nothing unescaped."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.monitor.history import History
from leanbrain.pruning.report.report import (
    collect,
    markdown_table,
    table,
    write_report,
)

FEWER = " (100 steps fewer)"
HOST = {
    "cpu": "Fast &amp; <script> cheap",
    "cores": 2,
    "load": [0.5, 0.25, 0.1],
}


def result(sparsity=0.0, steps=200, plus=0.0):
    cer = {"en": 10.0 + plus, "fr": 20.0 + plus}
    return {
        "sparsity": sparsity,
        "steps": steps,
        "seconds": 61.4,
        "cer": cer,
        "wer": {k: 2 * x for k, x in cer.items()},
        "mean_cer": 15.0 + plus,
        "seed": 7,
        "commit": "c0ffee<script>",
        "versions": {"torch": "9.9.9"},
        "host": HOST,
        "hparams": "seed: 7 # <script>alert(1)</script>\n",
    }


def write_history(folder, pruned):
    history = History(folder / "history.jsonl")
    for step in (50, 100):
        loss = {"en": 2.0 + step, "fr": 4.0 + step}
        history.append({"step": step, "kind": "loss", "loss": loss})
        if pruned:
            history.append(
                {
                    "step": step,
                    "kind": "update",
                    "sparsity_planned": step / 200,
                    "sparsity_real": step / 200 - 0.1,
                    "pathways": ["en", "fr"],
                    "overlap": [[1.0, step / 1000], [step / 1000, 1.0]],
                }
            )
        metrics = {"cer": {"en": 30.0, "fr": None}, "wer": {"en": 60.0}}
        line = {"step": step, "kind": "metrics", "metrics": metrics}
        history.append({**line, "stage": "valid"})
    history.append({**line, "step": 100, "stage": "test"})


def make_runs(folder):
    """Three finished runs; returns their folders by name."""
    results = {
        "dense": result(),
        "adaptive": result(0.7, 100, plus=0.5),
        "fixed": result(0.7, 100, plus=2.0),
    }
    for name, content in results.items():
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps(content))
        write_history(folder / name, pruned=name != "dense")
    return {name: folder / name for name in results}


@pytest.fixture
def runs(tmp_path):
    return make_runs(tmp_path)


def change(folder, **values):
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_summary_has_the_form_of_the_issue(runs):
    summary = collect(runs)
    assert list(summary) == ["dense", "adaptive", "fixed", "host"]
    assert summary["host"] == HOST
    for name, content in summary.items():
        if name != "host":
            wanted = json.loads((runs[name] / "result.json").read_text())
            del wanted["host"]
            assert content == {"start_steps": 0, **wanted}


def test_another_machine_is_not_hidden(runs):
    change(runs["fixed"], host={"cpu": "other"})
    summary = collect(runs)
    assert summary["fixed"]["host"] == {"cpu": "other"}
    assert summary["host"] == HOST
    assert "host" not in summary["adaptive"]


def test_missing_result_is_named(runs):
    (runs["fixed"] / "result.json").unlink()
    with pytest.raises(UserError, match=r"fixed/result.json does not exist"):
        collect(runs)


@pytest.mark.parametrize(
    "text", ['{"sparsity": 0.', "", "\x00", '{"mean_cer": NaN}']
)
def test_broken_result_is_named(runs, text):
    (runs["fixed"] / "result.json").write_text(text)
    with pytest.raises(UserError, match=r"fixed/result.json is truncated or"):
        collect(runs)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("sparsity", 1.0, r"a share in \[0, 1\), got 1.0"),
        ("sparsity", None, "a number >= 0, got None"),
        ("sparsity", True, "a number >= 0, got True"),
        ("steps", -1, "an integer >= 0, got -1"),
        ("steps", 1.5, "an integer >= 0, got 1.5"),
        ("start_steps", True, "an integer >= 0, got True"),
        ("seconds", "long", "a number >= 0, got 'long'"),
        ("cer", {}, "at least one language, got {}"),
        ("cer", 5.0, "numbers >= 0 by language, got 5.0"),
        ("wer", {"en": "x"}, "numbers >= 0 by language, got {'en': 'x'}"),
    ],
)
def test_broken_value_is_named(runs, key, value, rule):
    change(runs["adaptive"], **{key: value})
    match = f"adaptive/result.json must hold `{key}`: {rule}"
    with pytest.raises(UserError, match=match):
        collect(runs)


def test_result_must_be_an_object(runs):
    (runs["dense"] / "result.json").write_text("[]")
    with pytest.raises(UserError, match="result.json must hold a JSON object"):
        collect(runs)


@pytest.mark.parametrize("names", [[], ["host"]])
def test_runs_need_names(tmp_path, names):
    with pytest.raises(UserError, match="`runs` must name at least one run"):
        collect(dict.fromkeys(names, tmp_path))


def test_table_has_the_numbers_and_the_differences(runs):
    assert table(collect(runs)) == [
        ["model", "sparsity", "steps", "seconds"]
        + ["CER en", "CER fr", "mean CER", "mean WER"],
        ["dense", "0.0 %", "200", "61", "10.00", "20.00", "15.00", "30.00"],
        ["adaptive", "70.0 %", "100", "61", "10.50", "20.50", "15.50", "31.00"],
        [f"adaptive − dense{FEWER}", "", "", ""]
        + ["+0.50", "+0.50", "+0.50", "+1.00"],
        ["fixed", "70.0 %", "100", "61", "12.00", "22.00", "17.00", "34.00"],
        [f"fixed − dense{FEWER}", "", "", ""]
        + ["+2.00", "+2.00", "+2.00", "+4.00"],
    ]


def test_a_sparse_model_is_compared_with_the_dense_one_trained_as_long(runs):
    """The difference is of pruning, not of training: the steps are equal."""
    for name in ("adaptive", "fixed"):
        change(runs[name], start_steps=200)
    folder = runs["dense"].with_name("dense_trained_on")
    folder.mkdir()
    content = {**result(plus=-3.0, steps=100), "start_steps": 200}
    (folder / "result.json").write_text(json.dumps(content))
    runs["dense_trained_on"] = folder
    summary = collect(runs)
    rows = {row[0]: row for row in table(summary)}
    assert rows["dense"][2] == "200" and rows["adaptive"][2] == "200 + 100"
    assert rows["adaptive − dense_trained_on"][4:] == ["+3.50"] * 3 + ["+7.00"]
    assert [x for x in rows if "−" in x] == [
        "adaptive − dense_trained_on",
        "fixed − dense_trained_on",
    ]
    html = write_report(runs, folder / "out").read_text(encoding="utf-8")
    assert (
        "adaptive: every pathway keeps 30 % of the weights and makes 15.50 % "
        "character errors after 300 steps in all, dense_trained_on without "
        "pruning 12.00 % after 300."
    ) in html


def test_table_works_without_a_dense_model_and_with_other_languages(runs):
    change(runs["fixed"], cer={"it": 1.0}, wer={})
    del runs["dense"]
    rows = table(collect(runs))
    assert rows[0][4:] == ["CER en", "CER fr", "CER it", "mean CER", "mean WER"]
    assert [row[0] for row in rows[1:]] == ["adaptive", "fixed"]
    assert rows[2][4:] == ["–", "–", "1.00", "17.00", "–"]


def test_markdown_is_aligned_and_holds_the_table(runs):
    runs["a|b"] = runs.pop("fixed")
    summary = collect(runs)
    lines = markdown_table(summary).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [
        [x.strip() for x in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines
        if not line.startswith("|--")
    ]
    wanted = [[x.replace("|", r"\|") for x in row] for row in table(summary)]
    assert cells == wanted


class Page(HTMLParser):
    """Text, pictures and open tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.images, self.sources, self.stack = [], [], [], []
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes)
        elif tag == "source":
            self.sources.append(attributes)
        elif tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Runs, the file of their report, and the page in it; read only."""
    folder = tmp_path_factory.mktemp("report")
    runs = make_runs(folder)
    path = write_report(runs, folder / "out", title="One &lt; <script>")
    return runs, path, Page(path.read_text(encoding="utf-8"))


def test_report_writes_all_its_files(report):
    runs, path, _ = report
    assert sorted(x.name for x in path.parent.iterdir()) == [
        "curves.png",
        "overlap.png",
        "report.html",
        "summary.json",
        "table.md",
    ]
    summary = json.loads((path.parent / "summary.json").read_text())
    assert summary == collect(runs)
    text = (path.parent / "table.md").read_text(encoding="utf-8")
    assert text == markdown_table(summary) + "\n"
    for name in ("curves.png", "overlap.png"):
        assert (path.parent / name).read_bytes().startswith(b"\x89PNG")


def test_page_is_well_formed_and_escaped(report):
    page = report[-1]
    assert page.stack == []
    assert "script" not in page.tags
    text = "".join(page.texts)
    for wanted in (
        "One &lt; <script>",
        "Fast &amp; <script> cheap",
        "seed: 7 # <script>alert(1)</script>",
        "c0ffee<script>",
        "torch: 9.9.9",
        "keeps 30 % of the weights",
        "after 100 steps in all, dense without pruning 15.00 % after 200.",
    ):
        assert wanted in text


def test_page_holds_the_table(report):
    runs, _, page = report
    cells = [x for row in table(collect(runs)) for x in row if x]
    text = iter(page.texts)
    assert all(cell in text for cell in cells)


def test_page_needs_nothing_else(report):
    _, path, page = report
    addresses = [x["src"] for x in page.images]
    addresses += [x["srcset"] for x in page.sources]
    start = "data:image/svg+xml;base64,"
    drawings = []
    for address in addresses:
        assert address.startswith(start)
        drawings.append(base64.b64decode(address[len(start) :]).decode())
    outside = r"(?:src|href|url|@import)\W{1,3}(?:https?:|//)"
    for text in [path.read_text(encoding="utf-8"), *drawings]:
        assert not re.search(outside, text)
    assert all(x["alt"] for x in page.images)
    # Light and dark drawings differ.
    half = len(page.images)
    assert half == len(page.sources)
    light, dark = drawings[:half], drawings[half:]
    assert all(a != b for a, b in zip(light, dark, strict=True))


def test_page_has_every_chart(report):
    page = report[-1]
    words = [x["alt"] for x in page.images]
    assert words == [
        "Character error rate on test data, percent: "
        "dense: en 10.0, fr 20.0, mean 15.0; "
        "adaptive: en 10.5, fr 20.5, mean 15.5; "
        "fixed: en 12.0, fr 22.0, mean 17.0",
        "Word error rate on test data, percent: "
        "dense: en 20.0, fr 40.0, mean 30.0; "
        "adaptive: en 21.0, fr 41.0, mean 31.0; "
        "fixed: en 24.0, fr 44.0, mean 34.0",
        "Character error rate of dense over optimizer steps",
        "Character error rate of adaptive over optimizer steps",
        "Character error rate of fixed over optimizer steps",
        "Word error rate of dense over optimizer steps",
        "Word error rate of adaptive over optimizer steps",
        "Word error rate of fixed over optimizer steps",
        "Loss of each model over optimizer steps",
        "Share of weights removed over optimizer steps",
        "Overlap matrix of adaptive, masks of step 100",
        "Overlap matrix of fixed, masks of step 100",
    ]


def test_report_works_without_histories(runs, tmp_path):
    for folder in runs.values():
        (folder / "history.jsonl").unlink()
    path = write_report(runs, tmp_path / "out")
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.images) == 2
    assert not (path.parent / "overlap.png").exists()
    assert (path.parent / "curves.png").exists()
