"""From the folder of a benchmark to the files of its report."""

import fake_ledger as fake
import pytest
from fake_report import RULES, RULES_FILE, hostile_rows, save

from leanbrain.__main__ import main
from leanbrain.checks import UserError
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.report.writing import write_report


def test_same_ledger_same_files(hostile, tmp_path):
    rows = hostile_rows()
    assert len(rows) == 300
    root = save(tmp_path, rows)
    again = write_report(root, out=root / "out").parent
    names = [x.relative_to(again) for x in sorted(again.rglob("*"))]
    assert names == [x.relative_to(hostile) for x in sorted(hostile.rglob("*"))]
    for name in names:
        if (again / name).is_file():
            assert (again / name).read_bytes() == (hostile / name).read_bytes()


ADAMW = {"adamw": fake.OPTIMIZERS["adamw"]}


@pytest.fixture
def unfinished():
    """One workload is calibrated, and one of its trials has run."""
    wanted = {"workload": fake.path_of("lstm_ctc"), "variant": None}
    rows = fake.fake_rows(ADAMW, ["lstm_ctc"], faults=False)
    score = fake.find(rows, study=0, trial=0, **wanted)
    return fake.find(rows, kind="calibration") + score


def test_an_unfinished_and_damaged_ledger_has_a_report(
    unfinished, tmp_path, capsys
):
    root, out = save(tmp_path, unfinished), tmp_path / "out"
    with open(root / "ledger.jsonl", "a") as file:
        file.write('{"digest": "half\n')
    rules = ["--rules", str(RULES_FILE)]
    main(["optimizer-report", str(root), *rules, "--out", str(out)])
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "8 of 9 trials are missing" in text
    assert "Line 3 of ledger.jsonl is damaged and was skipped" in text
    assert str(tmp_path) not in text


def test_rules_given_as_an_object_stand_on_the_page(unfinished, tmp_path):
    path = write_report(save(tmp_path, unfinished), RULES)
    text = (path.parent / "report.md").read_text(encoding="utf-8")
    block = text.partition("The rules:\n\n")[2]
    again = tmp_path / "again.yaml"
    again.write_text("\n".join(x[4:] for x in block.splitlines()))
    assert load_rules(again) == RULES


def test_errors_of_the_user_are_one_sentence(tmp_path, capsys):
    with pytest.raises(UserError, match="has no rules.yaml: name the rules"):
        write_report(tmp_path)
    with pytest.raises(UserError, match="has no ledger with trials in it"):
        write_report(tmp_path, RULES)
    with pytest.raises(SystemExit, match="2"):
        main(["optimizer-report", str(tmp_path), "--rules", "none.yaml"])
    error = capsys.readouterr().err
    assert error.startswith("error: The rules") and error.count("\n") == 1
