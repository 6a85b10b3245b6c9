"""The table of what SpeechBrain's tests on our code came to."""

import pytest

CASES = {
    "good": "",
    "broken": '<failure message="E">why</failure>',
    "broken_too": '<error message="E">why</error>',
    "left_out": '<skipped message="Skipped: no network">x:1</skipped>',
}
FILE = (
    '<testcase classname="" name="x" file="host/whole.py"><skipped '
    'message="collection skipped">(\'whole.py\', 3, "Skipped: could not '
    "import 'k2'\")</skipped></testcase>"
)


def junit(path, names, more=""):
    """A report as pytest writes it."""
    cases = "".join(
        f'<testcase classname="c" file="host/t.py" name="{name}">'
        f"{CASES[name]}</testcase>"
        for name in names
    )
    path.write_text(
        '<testsuites><testsuite time="61.6">'
        f"{cases}{more}</testsuite></testsuites>"
    )


@pytest.fixture
def judged(script, tmp_path, capsys):
    """Runs the table; returns its exit code and what it prints."""
    (tmp_path / "versions.txt").write_text("SpeechBrain 1\n")
    known = tmp_path / "known.txt"
    known.write_text("# none\n")

    def judge(*arguments, reasons=""):
        known.write_text(reasons)
        code = script("host_table").main(
            [str(tmp_path), *arguments, "--known", str(known)]
        )
        return code, capsys.readouterr().out

    return judge


def test_the_table_counts(judged, tmp_path):
    junit(tmp_path / "layers.xml", ["good", "good", "left_out"], FILE)
    code, text = judged("layers")
    cells = [c.strip() for c in text.splitlines()[-4].split("|")[2:-1]]
    assert code == 0 and text.startswith("SpeechBrain 1\n\n| part")
    assert cells == ["4", "2", "0", "2", "62"]
    assert text.endswith(
        "- layers skipped: host/t.py::left_out (no network)\n"
        "- layers skipped: host/whole.py (could not import 'k2')\n"
    )


FATAL = ["recipes", "layers", "sparsity_0"]


@pytest.mark.parametrize("part", [*FATAL, "sparsity_30"])
def test_a_failure_without_a_reason_is_fatal(judged, tmp_path, part):
    junit(tmp_path / f"{part}.xml", ["good", "broken", "broken_too"])
    junit(tmp_path / f"alone_{part}.xml", ["broken"])
    code, text = judged(part)
    assert code == int(part in FATAL)
    assert "t.py::broken (fails without our code)" in text
    assert "t.py::broken_too (passes without our code)" in text
    reasons = "t.py::broken: a: b\nt.py::broken_too: theirs\n"
    code, text = judged(part, reasons=reasons)
    assert code == 0 and "t.py::broken (a: b; fails without our code)" in text
    assert judged("--failed", part) == (
        0,
        "host/t.py::broken\nhost/t.py::broken_too\n",
    )


@pytest.mark.parametrize("part", ["layers", "sparsity_30"])
@pytest.mark.parametrize("names", [None, [], ["left_out"]])
def test_a_part_in_which_nothing_ran_is_fatal(judged, tmp_path, names, part):
    if names is not None:
        junit(tmp_path / f"{part}.xml", names)
    code, text = judged(part)
    assert code == 1 and f"{part}: no test ran" in text


@pytest.mark.parametrize("line", ["t.py::broken", ": why", "t.py::broken: "])
def test_a_known_failure_must_have_its_name_and_its_reason(judged, line):
    with pytest.raises(SystemExit, match="in every line, got"):
        judged("layers", reasons=f"# text\n{line}\n")


def test_the_table_goes_into_the_page(judged, tmp_path):
    junit(tmp_path / "layers.xml", ["good"])
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- host tests -->\nold\n<!-- end -->\nz\n")
    _, text = judged("layers", "--markdown", str(page))
    assert page.read_text() == (
        f"a\n<!-- host tests -->\n{text}<!-- end -->\nz\n"
    )
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="must have <!-- host tests -->"):
        judged("layers", "--markdown", str(page))


def test_an_unknown_part_is_refused(judged, capsys):
    with pytest.raises(SystemExit, match="2"):
        judged("layer")
    assert "parts must be among recipes, layers," in capsys.readouterr().err
