"""The report: numbers as in the rows, all gaps said, nothing unescaped."""

import base64
import csv
import dataclasses
import io
import json
import math
import re
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from leanbrain.chart_style import DARK, LIGHT, recolour, to_svg
from leanbrain.checks import UserError
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.report import charts as report_charts
from leanbrain.optbench.report.analysis import analyse
from leanbrain.optbench.report.collect import collect
from leanbrain.optbench.report.csv_files import summary_csv, trials_csv
from leanbrain.optbench.report.tables import differences
from leanbrain.optbench.report.text import csv_text, markdown_text, number
from leanbrain.optbench.report.words import notes, verdict
from leanbrain.optbench.report.writing import main, write_report

sys.path.insert(0, str(Path(__file__).parent))
import fake_ledger as fake

RULES_FILE = Path(__file__).parents[3] / "hparams" / "rules" / "cpu.yaml"
RULES = load_rules(RULES_FILE)
# Without a slash: the name of a file.
HOSTILE_FILE = "<b>|`=1+1`"


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


def hostile_rows(**more):
    """Rows in which every text that a user may choose is hostile."""
    optimizers = {**fake.OPTIMIZERS, fake.HOSTILE: (0.9, 0.001)}
    rows = fake.fake_rows(optimizers, **more)
    for row in rows:
        row["commit"] = f"c0ffee{fake.HOSTILE}"
        row["versions"] = {"torch": fake.HOSTILE, fake.HOSTILE: "1"}
        config = row["config"]
        config["workload"] = config["workload"].replace(
            "lstm_ctc", f"lstm{HOSTILE_FILE}"
        )
        if "hyperparameters" in config:
            config["hyperparameters"][fake.HOSTILE] = fake.HOSTILE
        if config.get("variant") == "relu":
            config["variant"] = f"relu{fake.HOSTILE}"
    return rows


def save(root, rows, rules=RULES_FILE):
    fake.write_ledger(root, rows)
    (root / "rules.yaml").write_text(rules.read_text())
    return root


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder of a report with hostile names; read only."""
    root = save(tmp_path_factory.mktemp("hostile"), hostile_rows())
    return write_report(root, out=root / "out").parent


@pytest.fixture(scope="module")
def page(hostile):
    return Page((hostile / "report.html").read_text(encoding="utf-8"))


def findings(rows, rules=RULES):
    return analyse(collect(rows, rules))


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def time_by_hand(rows, optimizer, workload, variant=None):
    """Median over studies of the fastest trial, in a slow loop."""
    found = {}
    cost = fake.step_s(workload, fake.OPTIMIZERS[optimizer])
    budget = 267 * fake.step_s(workload, fake.OPTIMIZERS["adamw"])
    wanted = {"optimizer": optimizer, "workload": fake.path_of(workload)}
    for row in fake.find(rows, **wanted, variant=variant):
        seconds = math.inf
        goal = 1.1 * row["config"]["target"]
        if row["status"] == "done":
            for point in row["result"]["curve"]:
                if point["valid"]["error_percent"] <= goal:
                    seconds = point["step"] * cost
                    break
        if seconds > budget:
            seconds = math.inf
        study = row["config"]["study"]
        found[study] = min(found.get(study, math.inf), seconds)
    return sorted(found.values())[len(found) // 2]


def scores_by_hand(rows):
    """Scores with the rule on variants, in a slow loop."""
    scores = dict.fromkeys(fake.OPTIMIZERS, 0.0)
    for workload in fake.WORKLOADS:
        columns = [
            {x: time_by_hand(rows, x, workload, v) for x in fake.OPTIMIZERS}
            for v in (None, *fake.VARIANTS[workload])
        ]
        left = {
            x: columns[0][x]
            for x in fake.OPTIMIZERS
            if all(c[x] <= 4 * min(c.values()) < math.inf for c in columns)
        }
        best = min(left.values(), default=1.0)
        for name, seconds in left.items():
            scores[name] += max(0.0, 4 - seconds / best) / 3
    return {k: x / len(fake.WORKLOADS) for k, x in scores.items()}


def test_csv_has_the_numbers_of_the_rows():
    rows = fake.fake_rows()
    lines = read_csv(summary_csv(findings(rows)))
    assert len(lines) == len(fake.OPTIMIZERS) * len(fake.WORKLOADS)
    scores = scores_by_hand(rows)
    for line in lines:
        name, workload = line["optimizer"], line["workload"]
        seconds = time_by_hand(rows, name, workload)
        got = float(line["seconds"] or "inf")
        assert got == pytest.approx(seconds, rel=1e-12)
        assert float(line["score"]) == pytest.approx(scores[name], abs=1e-12)
        assert float(line["score_low"]) <= scores[name] + 1e-12
        assert float(line["score_high"]) >= scores[name] - 1e-12
        better = sum(x > scores[name] + 1e-12 for x in scores.values())
        assert int(line["rank"]) == 1 + better
        cost = fake.step_s(workload, fake.OPTIMIZERS[name])
        assert float(line["step_s"]) == pytest.approx(cost, rel=1e-12)


def test_rows_of_the_trials_have_their_numbers():
    rows = fake.fake_rows()
    lines = {x["digest"]: x for x in read_csv(trials_csv(findings(rows)))}
    trials = [x for x in rows if x["config"]["kind"] != "calibration"]
    assert set(lines) == {x["digest"] for x in trials}
    for row in trials:
        line, config = lines[row["digest"]], row["config"]
        for key in ("optimizer", "seed", "study", "trial"):
            assert line[key] == str(config[key])
        if row["status"] != "done":
            assert line["status"] == row["status"]
            assert line["reason"].lstrip("'") == row["reason"]
        else:
            assert float(line["best"]) == row["result"]["best"]
        assert (line["seconds"] != "") == (line["status"] == "reached")
        assert json.loads(line["hyperparameters"]) == config["hyperparameters"]


def test_speedup_is_the_geometric_mean_and_needs_no_pool():
    rows = fake.fake_rows()
    found = findings(rows)
    ratios = [
        time_by_hand(rows, "adamw", w) / time_by_hand(rows, "muon_adamw", w)
        for w in fake.WORKLOADS
    ]
    wanted = float(np.exp(np.mean(np.log(ratios))))
    assert found.speedups["muon_adamw"] == pytest.approx(wanted, rel=1e-12)
    pair = [
        x
        for x in rows
        if x["config"].get("optimizer") in ("adamw", "muon_adamw", None)
    ]
    alone = findings(pair)
    assert alone.speedups["muon_adamw"] == pytest.approx(wanted, rel=1e-12)
    assert alone.reference_scores == {
        k: found.reference_scores[k] for k in ("adamw", "muon_adamw")
    }


def test_the_curve_of_targets_begins_and_passes_where_the_scores_are():
    rows = fake.fake_rows()
    found = findings(rows)
    wanted = {k: x.score for k, x in found.scores.items()}
    assert found.sensitivity[10.0] == pytest.approx(wanted, abs=1e-12)
    target = dataclasses.replace(RULES.target, relaxation_percent=0.0)
    strict = findings(rows, dataclasses.replace(RULES, target=target))
    wanted = {k: x.score for k, x in strict.scores.items()}
    assert found.sensitivity[0.0] == pytest.approx(wanted, abs=1e-12)
    assert found.sensitivity[0.0] != found.sensitivity[20.0]


def test_variants_count_only_where_the_rules_say():
    rows = fake.fake_rows(faults=False)
    for row in fake.find(rows, optimizer="muon_adamw", variant="relu"):
        row["result"]["curve"] = []
    found = findings(rows)
    assert ("muon_adamw", "lstm_ctc") in found.refused
    without = findings(rows, dataclasses.replace(RULES, variants=False))
    assert not without.refused
    lost = without.scores["muon_adamw"].score - found.scores["muon_adamw"].score
    assert lost == pytest.approx(1 / 3)


def test_order_of_rows_does_not_matter():
    rows = fake.fake_rows()
    shuffled = list(rows)
    np.random.default_rng(0).shuffle(shuffled)
    one, other = findings(rows), findings(shuffled)
    assert summary_csv(one) == summary_csv(other)
    assert trials_csv(one) == trials_csv(other)
    assert verdict(one) == verdict(other)
    assert notes(one) == notes(other)


def test_a_hole_changes_nothing_silently():
    rows = fake.fake_rows(faults=False)
    whole = findings(rows)
    assert "missing" not in verdict(whole) + "".join(notes(whole))
    for row in fake.find(rows, kind="score")[::20]:
        left = [x for x in rows if x is not row]
        found = findings(left)
        assert "1 of 198 trials are missing" in verdict(found)
        assert "1 trial did not end well (1 missing)" in "".join(notes(found))
        lines = read_csv(trials_csv(found))
        assert len(lines) == 198
        assert [x["status"] for x in lines].count("missing") == 1


def test_a_tie_is_called_a_tie():
    pair = {"adamw": (1.0, 0.001), "other": (1.02, 0.001)}
    found = findings(fake.fake_rows(pair, faults=False))
    text = verdict(found)
    first, second = found.order
    one = found.comparisons[second]
    assert one.low < 1 < one.high
    assert f"Its lead over {second} is a tie: ratio of times" in text
    assert f"{number(one.ratio)}, 95 % interval {number(one.low)} to" in text
    assert "faster" not in text


def test_a_clear_lead_is_called_one():
    pair = {"adamw": (1.0, 0.001), "other": (3.0, 0.001)}
    found = findings(fake.fake_rows(pair, faults=False))
    assert found.order == ("other", "adamw")
    assert "Against adamw, it is faster than adamw: ratio" in verdict(found)
    assert "tie" not in verdict(found)
    (_, row) = differences(found)
    assert row[-1] == "faster"


def test_nobody_first_where_nobody_reaches_anything():
    rows = fake.fake_rows(faults=False)
    for row in rows:
        row["status"] = "void" if "curve" in row["result"] else row["status"]
    text = verdict(findings(rows))
    assert text.startswith("No optimizer reached the target of any workload")


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


def test_same_ledger_same_files(hostile, tmp_path):
    root = save(tmp_path, hostile_rows())
    again = write_report(root, out=root / "out").parent
    names = [x.relative_to(again) for x in sorted(again.rglob("*"))]
    assert names == [x.relative_to(hostile) for x in sorted(hostile.rglob("*"))]
    for name in names:
        if (again / name).is_file():
            assert (again / name).read_bytes() == (hostile / name).read_bytes()


def test_board_has_a_run_per_trial(hostile):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )
    from tensorboard.plugins.hparams import metadata

    board = hostile / "tensorboard"
    rows = hostile_rows()
    folders = [x for x in board.iterdir() if x.is_dir()]
    assert len(folders) == sum("optimizer" in x["config"] for x in rows)
    lines = read_csv((hostile / "trials.csv").read_text(encoding="utf-8"))
    by_digest = {x["digest"]: x for x in lines}
    assert all(re.fullmatch(r"[\w.-]+", x.name) for x in folders)
    for folder in sorted(folders)[::15]:
        line = by_digest[folder.name.rpartition("-")[2]]
        events = EventAccumulator(str(folder))
        events.Reload()
        content = events.PluginTagToContent("hparams")
        start = metadata.parse_session_start_info_plugin_data(
            content[metadata.SESSION_START_INFO_TAG]
        )
        values = start.hparams
        name = line["optimizer"].removeprefix("'")
        assert values["optimizer"].string_value == name
        wanted = json.loads(line["hyperparameters"])
        assert values["lr"].number_value == wanted["lr"]
        assert values[fake.HOSTILE].string_value == fake.HOSTILE
        scalars = events.Tags()["scalars"]
        reached = line["status"] == "reached"
        assert ("seconds_to_target" in scalars) is reached
        (metric,) = events.Scalars("reached")
        assert metric.value == reached
        if reached:
            (metric,) = events.Scalars("seconds_to_target")
            assert metric.value == pytest.approx(float(line["seconds"]))


def test_board_forgets_trials_that_are_gone(tmp_path):
    rows = fake.fake_rows(faults=False)
    root = save(tmp_path, rows)
    from leanbrain.optbench.report.board import write_board

    data = collect(rows, RULES)
    (root / "board" / "mine").mkdir(parents=True)
    write_board(root / "board", data.outcomes()[:5])
    write_board(root / "board", data.outcomes()[3:6])
    assert sum(x.is_dir() for x in (root / "board").iterdir()) == 3 + 1


def test_an_unfinished_ledger_has_a_report(tmp_path):
    rows = fake.fake_rows(faults=False)
    kept = fake.find(
        rows, kind="calibration", workload=fake.path_of("lstm_ctc")
    )
    kept += fake.find(rows, optimizer="adamw", study=0, trial=0)[:1]
    path = write_report(save(tmp_path, kept))
    assert "8 of 9 trials are missing" in path.read_text(encoding="utf-8")


def test_a_damaged_line_is_on_the_page(tmp_path):
    root = save(tmp_path, fake.fake_rows()[:40])
    with open(root / "ledger.jsonl", "a") as file:
        file.write('{"digest": "half\n')
    text = write_report(root).read_text(encoding="utf-8")
    assert "Line 41 of ledger.jsonl is damaged and was skipped" in text
    assert str(tmp_path) not in text


def test_errors_of_the_user_are_one_sentence(tmp_path, capsys):
    with pytest.raises(UserError, match="has no rules.yaml: name the rules"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="has no ledger with trials in it"):
        write_report(tmp_path, RULES)
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--rules", str(tmp_path / "none.yaml")])
    error = capsys.readouterr().err
    assert error.startswith("error: The rules") and error.count("\n") == 1


def test_command_line(tmp_path, capsys):
    root = save(tmp_path, fake.fake_rows()[:30])
    out = tmp_path / "out"
    main([str(root), "--rules", str(RULES_FILE), "--out", str(out)])
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert (out / "report.html").is_file()


def test_rules_given_as_an_object_stand_on_the_page(tmp_path):
    root = save(tmp_path, fake.fake_rows()[:30])
    path = write_report(root, RULES, tmp_path / "out")
    text = (path.parent / "report.md").read_text(encoding="utf-8")
    block = text.partition("The rules:\n\n")[2]
    again = tmp_path / "again.yaml"
    again.write_text("\n".join(x[4:] for x in block.splitlines()))
    assert load_rules(again) == RULES


def numbered(svg):
    """Numbers the names of marks, which are hashes of their colours."""
    names = dict.fromkeys(re.findall(r'id="([mp][0-9a-f]{10})"', svg))
    for i, name in enumerate(names):
        svg = svg.replace(name, f"mark{i}")
    return svg


def test_dark_pictures_are_what_drawing_them_would_give():
    found = findings(fake.fake_rows())
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


@pytest.mark.slow
def test_report_takes_ten_seconds_at_most(tmp_path):
    slow = {f"slow{i}": (0.4, 0.001) for i in range(3)}
    rows = fake.fake_rows({**fake.OPTIMIZERS, **slow})
    assert len(rows) == 300
    root = save(tmp_path, rows)
    start = time.process_time()
    write_report(root)
    # Seconds of this process: the machine may have other work.
    assert time.process_time() - start <= 10.0
