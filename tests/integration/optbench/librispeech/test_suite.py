"""AlgoPerf's suite through its command: by the clock, published targets."""

import pytest
import yaml

from leanbrain.__main__ import _parser_of
from leanbrain.checks import UserError
from leanbrain.commands import bench_optimizers
from leanbrain.experiments.ledger import Ledger
from leanbrain.optbench.suite.file import load_suite
from leanbrain.optbench.suite.stages import published_targets

TINY = {
    "batch_size": 6,
    "eval_batch_size": 8,
    "vocabulary": 30,
    "data_workers": 0,
    "size": 16,
    "layers": 1,
    "heads": 2,
    "budget_s": 0.2,
    "eval_period_s": 0.1,
}


@pytest.fixture
def suite(repo_root, tmp_path):
    """The suite that comes along, for one process of this machine."""
    folder = repo_root / "recipes" / "OptimizerBenchmark" / "suites"
    text = (folder / "librispeech.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text[: text.index("backend:")])
    content["workloads"] = [str(folder / x) for x in content["workloads"]]
    content |= {"processes": 1, "device": "cpu", "threads": 1}
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def official(shared_corpus):
    for name in ("SPEAKERS", "CHAPTERS"):
        (shared_corpus / "LibriSpeech" / f"{name}.TXT").write_text(name)
    return shared_corpus


def test_published_targets(suite, official):
    """AlgoPerf's fractions of words, in percent."""
    found = published_targets(load_suite(suite, data_folder=official).suite)
    assert len(found) == 8
    assert found["conformer"]["target"] == 8.5884
    assert found["deepspeech/tanh"]["target"] == 15.0883


def bench(words):
    """The command, whose errors are raised here."""
    parser = _parser_of("bench-optimizers", bench_optimizers)
    bench_optimizers.main(parser.parse_args(words))


def test_a_folder_is_needed(suite):
    with pytest.raises(UserError, match="has no embedded data, got None"):
        bench([str(suite), "--workers", "0"])


def test_two_steps_by_the_clock(suite, official, tmp_path):
    out = tmp_path / "results"
    prepared = {"prepared_folder": str(tmp_path / "prepared")}
    words = [str(suite), "--workers", "0", "--results_folder", str(out)]
    words += ["--data_folder", str(official), "--optimizers", "nadamw"]
    words += ["--workloads", "conformer"]
    bench([*words, "--overrides", yaml.safe_dump(TINY | prepared)])
    rows = Ledger(out).read()
    assert [x["status"] for x in rows] == ["done"] * 3
    for row in rows:
        # Self-tuning: the numbers of the optimizer's file.
        assert row["config"]["hyperparameters"] == {}
        result = row["result"]
        assert not result["reached"] and result["steps"] >= 1
        # An evaluation only begins within the budget, 1.5 x 0.2 s.
        assert all(x["step_s"] < 0.3 for x in result["curve"])
    assert len({x["config"]["seed"] for x in rows}) == 3
    assert (out / "report.html").is_file()
