"""The command that looks at a folder of trials."""

import pytest

from leanbrain.__main__ import main
from leanbrain.experiments.backends import LocalPool
from leanbrain.experiments.engine import run_trials
from leanbrain.experiments.trials import Trial


@pytest.fixture
def root(tmp_path):
    trials = [Trial("builtins:dict", {"i": i}) for i in range(2)]
    run_trials(trials, tmp_path, LocalPool(0), show=None)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*ledger")
def test_it_counts_and_repairs(root, capsys):
    ledger = root / "ledger.jsonl"
    first, second = ledger.read_text().splitlines(keepends=True)
    ledger.write_text(first[:40] + "\n" + second)
    main(["trials", str(root)])
    assert "2 trials, 1 damaged lines" in capsys.readouterr().out
    main(["trials", str(root), "--repair"])
    assert "2 trials, 0 damaged lines" in capsys.readouterr().out
    assert len(ledger.read_text().splitlines()) == 2


def test_a_missing_folder_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["trials", str(tmp_path / "none")])
    assert "does not exist" in capsys.readouterr().err
