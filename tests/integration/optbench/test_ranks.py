"""What of the benchmark may be one of several processes, and what not."""

import json
from pathlib import Path

import pytest

from leanbrain.__main__ import main
from leanbrain.optbench.trials import trial

pytestmark = pytest.mark.ddp

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
BENCHMARK = RECIPES / "OptimizerBenchmark"
PROMPTS = RECIPES / "MultilingualPrompts" / "ASR" / "CTC"
DIGITS = RECIPES / "SpokenDigits" / "classification"

TINY = {
    "batch_size": 4,
    "valid_items": 4,
}


@pytest.mark.parametrize(
    "words",
    [
        (BENCHMARK / "CPU" / "train.py", BENCHMARK / "CPU/hparams/digits.yaml"),
        (PROMPTS / "compare.py", PROMPTS / "suites" / "embedded.yaml"),
        (PROMPTS / "demo.py",),
        (DIGITS / "compare.py",),
        (DIGITS / "sparse.py", DIGITS / "suites" / "sparse.yaml"),
    ],
    ids=lambda words: "/".join(words[0].parts[-2:]),
)
def test_what_starts_processes_itself_is_no_rank(
    on_two_ranks, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    done = on_two_ranks("late_writes", *words, code=2)
    assert "must be one process, not one of several" in done.stderr
    assert "got WORLD_SIZE 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_command_is_no_rank(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in (("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="2"):
        main(["bench-optimizers", str(BENCHMARK / "suites" / "cpu.yaml")])
    error = capsys.readouterr().err
    assert "leanbrain bench-optimizers must be one process, not" in error
    assert not list(tmp_path.iterdir())


def test_a_trial_on_two_ranks(on_two_ranks, repo_root, tones, tmp_path):
    """Both read the features that one of them computes; one writes."""
    adamw = repo_root / "hparams" / "optimizers" / "adamw.yaml"
    config = {
        "kind": "score",
        "workload": "hparams/conformer_ctc.yaml",
        "data": "real",
        "optimizer": "adamw",
        "optimizer_yaml": adamw.read_text(),
        "hyperparameters": {},
        "seed": 1,
        "threads": 1,
        "total_steps": 2,
        "budget_steps": 2,
        "eval_every_steps": 1,
        "metric": "error_percent",
        "target": None,
        "overrides": {**TINY, "cache_folder": str(tmp_path / "cache")},
    }
    context = {"recipe_folder": str(BENCHMARK / "CPU")}
    context["data_folder"] = str(tones)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": config, "context": context}))
    result = tmp_path / "result.json"
    on_two_ranks("late_writes", trial.__file__, file, result)
    found = json.loads(result.read_text())
    assert found["status"] == "done", found["reason"]
    assert found["steps"] == 2 and len(found["curve"]) == 2
    assert all(check["passed"] for check in found["audit"])
    assert not list(tmp_path.glob("*.tmp"))
