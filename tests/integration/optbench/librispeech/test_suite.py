"""AlgoPerf's suite through `benchmark.py`: by the clock, published targets."""

import importlib.util

import pytest
import yaml

from leanbrain.checks import UserError
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


@pytest.fixture(scope="module")
def benchmark(repo_root):
    path = repo_root / "recipes" / "OptimizerBenchmark" / "benchmark.py"
    spec = importlib.util.spec_from_file_location("benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


def test_a_folder_is_needed(suite, benchmark):
    with pytest.raises(UserError, match="has no embedded data, got None"):
        benchmark.main([str(suite), "--workers", "0"])


def test_two_steps_by_the_clock(suite, benchmark, official, tmp_path):
    out = tmp_path / "results"
    prepared = {"prepared_folder": str(tmp_path / "prepared")}
    words = [str(suite), "--workers", "0", "--results_folder", str(out)]
    words += ["--data_folder", str(official), "--optimizers", "nadamw"]
    words += ["--workloads", "conformer"]
    benchmark.main([*words, "--overrides", yaml.safe_dump(TINY | prepared)])
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
