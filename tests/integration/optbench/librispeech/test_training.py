"""The recipe trains: alone, on two ranks, and says what is wrong."""

import json
import math
import os
import subprocess
import sys

import pytest
import yaml

from leanbrain.checks import UserError

ADAMW = "hparams/optimizers/adamw.yaml"
TINY = {
    "size": 16,
    "vocabulary": 30,
    "batch_size": 4,
    "eval_batch_size": 4,
    "data_workers": 0,
    "eval_every_steps": 1,
    "total_steps": 10,
    "dropout": 0.0,
    "band_count": 0,
    "span_count": 0,
}
NETS = {
    "conformer": {"layers": 1, "heads": 2},
    "deepspeech": {"lstm_layers": 1, "feed_layers": 1},
}


@pytest.fixture(scope="module")
def arguments(repo_root, recipe, shared_corpus):
    """The command line of train.py for a tiny network."""

    def build(name, out, *more):
        overrides = yaml.safe_dump({**TINY, **NETS[name]})
        return [
            str(recipe / "hparams" / f"{name}.yaml"),
            *("--data_folder", str(shared_corpus)),
            *("--optimizer", str(repo_root / ADAMW)),
            *("--set", "lr=1e-2", "--set", "warmup=0.1"),
            *("--budget_steps", "5", "--device", "cpu"),
            *("--output_folder", str(out), "--overrides", overrides),
            *more,
        ]

    return build


def launch(cwd, *command):
    """Runs Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=cwd,
    )


def result_in(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "target"),
    [("conformer", "gelu", 9.4114), ("deepspeech", "tanh", 15.0883)],
)
def test_two_steps(piece, arguments, tmp_path, capsys, name, variant, target):
    more = ("--budget_steps", "2", "--variant", variant)
    piece("train").main(arguments(name, tmp_path, *more))
    result = result_in(tmp_path)
    assert result["status"] == "done" and result["steps"] == 2
    assert all(check["passed"] for check in result["audit"])
    assert [point["step"] for point in result["curve"]] == [1, 2]
    for point in result["curve"]:
        for key in ("wer_percent", "ctc_loss", "test_wer_percent"):
            assert math.isfinite(point["valid"][key])
    assert result["config"]["target"] == target
    assert f"target {target} % not reached" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("name", NETS)
def test_two_ranks_train_what_one_does(
    piece, recipe, arguments, corpus, on_two_ranks, tmp_path, name
):
    """From the preparation on, which one of them does."""
    words = arguments(name, tmp_path / "two", "--data_folder", str(corpus))
    on_two_ranks("late_writes", recipe / "train.py", *words)
    assert (corpus / "leanbrain" / "unigram_30.model").is_file()
    words = arguments(name, tmp_path / "one", "--data_folder", str(corpus))
    piece("train").main(words)
    one, two = (result_in(tmp_path / name) for name in ("one", "two"))
    assert two["steps"] == 5 and two["status"] == "done"
    assert all(check["passed"] for check in two["audit"])
    pairs = list(zip(one["curve"], two["curve"], strict=True))
    for alone, shared in pairs:
        for key in ("wer_percent", "ctc_loss", "test_ctc_loss"):
            a, b = alone["valid"][key], shared["valid"][key]
            assert b == pytest.approx(a, rel=1e-3), (alone["step"], key)
    # The steps do something, else the law above is empty.
    first, last = (pairs[i][0]["valid"]["ctc_loss"] for i in (0, -1))
    assert abs(last - first) > 0.05 * first


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_small_network_learns_its_training_words(
    piece, recipe, repo_root, shared_corpus, tmp_path, monkeypatch, name
):
    """The whole way from audio to word errors, on data learnt by heart."""
    from leanbrain.optbench.trials.trial import run

    layers = piece("librispeech_layers")
    # So few steps would not bring the running statistics along.
    monkeypatch.setattr(layers.BatchNorm, "MOMENTUM", 0.1)
    folders = dict.fromkeys(("train", "valid", "test"), ["train-clean-100"])
    overrides = {
        **TINY,
        **NETS[name],
        "size": 48,
        "batch_size": 5,
        "folders": folders,
        "measure_test": False,
    }
    config = {
        "workload": f"hparams/{name}.yaml",
        "data": "LibriSpeech",
        "optimizer_yaml": (repo_root / ADAMW).read_text(),
        "hyperparameters": {"lr": 4e-3},
        "seed": 1,
        "total_steps": 200,
        "budget_steps": 200,
        "eval_every_steps": 20,
        "metric": "wer_percent",
        "target": 10.0,
        "threads": 1,
        "overrides": overrides,
    }
    result = run(config, tmp_path, str(recipe), str(shared_corpus))
    assert result["reached"], result["curve"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--variant", "tanh"], "`variant` must be one of"),
        (["--set", "lr"], "`set` must be KEY=NUMBER, got 'lr'"),
        (["--overrides", "[1]"], "`overrides` must be a YAML mapping"),
        (["--overrides", "{a"], "`overrides` must be a YAML mapping"),
        (["--budget_steps", "0"], "`budget_steps` must be an integer >= 1"),
        (["--seed", "-1"], "`seed` must be an integer >= 0"),
        (
            ["--optimizer", "none.yaml"],
            "The optimizer none.yaml does not exist",
        ),
    ],
)
def test_bad_arguments_are_named(plan, more, sentence):
    with pytest.raises(UserError, match=sentence):
        plan("conformer", *more)


def test_an_error_is_one_sentence(piece, recipe, arguments, tmp_path):
    more = arguments("conformer", tmp_path, "--data_folder", "no")
    with pytest.raises(UserError, match="`data_folder` must hold LibriSpeech/"):
        piece("train").main(more)
    # As a process, and before anything heavy is imported.
    more = arguments("conformer", tmp_path, "--variant", "no")
    done = launch(tmp_path, str(recipe / "train.py"), *more)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: `variant` must be one of")
    assert len(done.stderr.splitlines()) == 1


def test_help(piece, capsys):
    with pytest.raises(SystemExit, match="0"):
        piece("train").main(["--help"])
    assert "--budget_steps" in capsys.readouterr().out


@pytest.fixture
def plan(piece, recipe, repo_root):
    """What train.py makes of a command line."""
    script = piece("train")
    common = ["--data_folder", "x", "--optimizer", str(repo_root / ADAMW)]

    def build(name, *more):
        path = str(recipe / "hparams" / f"{name}.yaml")
        return script.plan(script.parse([path, *common, *more]))

    return build


def test_the_plan_is_algoperfs(plan):
    config, test_target = plan("deepspeech")
    assert (config["budget_s"], config["eval_period_s"]) == (44405, 1440)
    assert config["total_steps"] == 38400 and test_target == 7.4143
    assert config["target"] == 11.9936 and config["metric"] == "wer_percent"
    config, test_target = plan("deepspeech", "--variant", "no_resnet")
    assert (config["target"], test_target) == (13.1564, 7.9297)
    steps = ["--budget_steps", "3000", "--set", "lr=1e-3"]
    config, _ = plan("deepspeech", *steps)
    assert "budget_s" not in config and config["eval_every_steps"] == 1245
    assert config["hyperparameters"] == {"lr": 1e-3}
    config, _ = plan("conformer", "--overrides", "{total_steps: 7}")
    assert config["total_steps"] == 7 and config["budget_s"] == 58015
