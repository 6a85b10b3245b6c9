"""Whole trials and calibrations on a workload of a second."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.trials import calibration, distributed, trial
from leanbrain.optbench.trials.refusals import OptimizerError

TOY = Path(__file__).resolve().parent / "toy"

SGD = """
name: sgd
source: by definition
needs: null
expected_class: torch.optim.SGD
lr: 0.1
opt_class: !name:torch.optim.SGD
    lr: !ref <lr>
    momentum: 0.9
    foreach: True
lr_schedule: !name:leanbrain.optbench.optimizers.schedules.warmup_cosine
search_space: {lr: {min: 0.01, max: 1.0, scaling: log}}
"""

ADAMW = """
name: adamw
source: arXiv 1711.05101
needs: null
expected_class: torch.optim.AdamW
lr: 0.02
opt_class: !name:torch.optim.AdamW
    lr: !ref <lr>
lr_schedule: !name:leanbrain.optbench.optimizers.schedules.warmup_cosine
search_space: {lr: {min: 0.001, max: 0.1, scaling: log}}
"""


def config(**changes):
    settings = {
        "rules": "cpu-1",
        "kind": "score",
        "workload": "hparams/toy.yaml",
        "workload_digest": "toy",
        "data": "synthetic",
        "variant": None,
        "optimizer": "adamw",
        "optimizer_yaml": ADAMW,
        "hyperparameters": {},
        "study": 0,
        "trial": 0,
        "seed": 3,
        "total_steps": 60,
        "budget_steps": 60,
        "eval_every_steps": 5,
        "target": None,
        "metric": "error_percent",
        "threads": 1,
        "overrides": {},
    }
    return settings | changes


def run(**changes):
    result = trial.run(config(**changes), "unused", recipe_folder=str(TOY))
    # What the ledger will do.
    return json.loads(json.dumps(result, allow_nan=False))


def without_times(result):
    """What must be the same when a trial is repeated."""
    curve = [
        {key: point[key] for key in ("step", "train_loss", "valid", "lr")}
        for point in result["curve"]
    ]
    kept = ("steps_to_target", "best", "steps", "order_hash", "init_hash")
    return [curve, *(result[key] for key in kept)]


def test_a_trial_passes_its_audit_and_learns():
    result = run()
    assert result["status"] == "done"
    assert {x["name"]: x["passed"] for x in result["audit"]} == dict.fromkeys(
        ("class", "groups", "clipping", "schedule", "data order", "threads"),
        True,
    )
    curve = result["curve"]
    assert [x["step"] for x in curve] == list(range(5, 61, 5))
    assert [step for step, _ in result["order_hash"]] == list(range(5, 61, 5))
    errors = [x["valid"]["error_percent"] for x in curve]
    assert result["best"] == min(errors) < 10 < errors[0]
    for clock in ("step_s", "cpu_s", "wall_s"):
        times = [x[clock] for x in curve]
        assert times == sorted(times)
    assert curve[-1]["step_s"] < curve[-1]["wall_s"]
    assert result["class"] == "torch.optim.AdamW"
    assert result["kernel"] == "for-loop"
    assert 8 <= result["state_bytes_per_parameter"] < 8.2
    assert result["parameters"] == 6 * 16 + 16 + 32 + 16 * 4 + 4


def test_a_trial_repeats_bit_for_bit():
    torch.rand(17)
    first = run(target=5.0)
    torch.rand(5)
    second = run(target=5.0)
    assert without_times(first) == without_times(second)
    assert first["reached"]
    assert first["steps_to_target"] == first["curve"][-1]["step"]
    assert first["seconds_to_target"]["step"] == first["curve"][-1]["step_s"]


def test_optimizers_of_a_seed_start_alike_and_see_the_same():
    pair = [run(optimizer_yaml=text, seed=8) for text in (ADAMW, SGD)]
    other = run(seed=9)
    for key in ("init_hash", "order_hash"):
        assert pair[0][key] == pair[1][key]
        assert pair[0][key] != other[key]
    assert pair[0]["curve"] != pair[1]["curve"]


def test_a_target_that_is_never_reached_is_censored():
    result = run(target=-1.0, budget_steps=12)
    assert result["status"] == "done"
    assert result["reached"] is False
    assert result["steps_to_target"] is None
    assert result["seconds_to_target"] is None
    assert (result["steps"], len(result["curve"])) == (12, 2)


def test_a_trial_that_explodes_is_diverged():
    yaml = ADAMW.replace("AdamW", "SGD").replace("0.02", "1e30")
    result = run(optimizer_yaml=yaml)
    assert result["status"] == "diverged"
    assert result["reached"] is False
    assert "not finite" in result["reason"] or "is nan" in result["reason"]


def test_other_batches_than_those_of_the_seed_void_a_trial(monkeypatch):
    run(budget_steps=5)
    clouds = sys.modules["toy_workload"].Clouds
    expected = clouds.expected_order

    def shifted(self, n):
        return expected(self, n + 1)[1:]

    monkeypatch.setattr(clouds, "expected_order", shifted)
    result = run(target=50.0)
    assert result["status"] == "void"
    assert result["reached"] is False
    assert "audit of data order failed: other batches" in result["reason"]


def test_variants_and_overrides_change_the_workload():
    base, wide = run(budget_steps=5), run(budget_steps=5, variant="wide")
    widest = run(budget_steps=5, variant="wide", overrides={"width": 32})
    sizes = [x["parameters"] for x in (base, wide, widest)]
    assert sizes == [13 * x + 4 for x in (16, 24, 32)]


def test_a_budget_of_time_is_kept():
    result = run(
        eval_every_steps=None,
        budget_steps=None,
        eval_period_s=0.2,
        budget_s=1.5,
    )
    times = [x["step_s"] for x in result["curve"]]
    assert result["curve"][0]["step"] == 1
    assert times[-1] < 1.5 <= result["seconds"]["step"]
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert min(gaps) >= 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"overrides": {"widths": 3}},
            r"name a key .* 'widths' \(nearest: width",
        ),
        (
            {"overrides": {"modules": {"models": 3}}},
            r"key of `modules` in toy.yaml, got 'models' \(nearest: model\)",
        ),
        ({"variant": "wides"}, r"`variant` must be .* 'wides' \(nearest: wide"),
        ({"workload": "hparams/no.yaml"}, "no.yaml does not exist"),
        ({"data": "0123"}, "`data_folder` must be given if and only if"),
        ({"threads": 0}, "`threads` must be an integer >= 1, got 0"),
        ({"seed": -1}, "`seed` must be an integer >= 0, got -1"),
        ({"budget_steps": 4}, "`eval_every_steps` must be at most .* 4, got 5"),
        ({"hyperparameters": {"lrr": 1.0}}, r"'lrr' \(nearest: lr\)"),
        ({"overrides": {"max_grad_norm": -5}}, "`max_grad_norm` must be"),
        (
            {"optimizer_yaml": ADAMW.replace("AdamW", "LBFGS")},
            "without a closure",
        ),
        (
            {"optimizer_yaml": ADAMW.replace("lr: !ref <lr>", "lr: -1.0")},
            "Invalid learning rate",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(changes, message):
    with pytest.raises(UserError, match=message):
        run(**changes)


def test_an_optimizer_that_raises_is_named(tmp_path, monkeypatch):
    (tmp_path / "breaking.py").write_text(
        "import torch\n\n\n"
        "class Breaking(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        "        group = self.param_groups[0]\n"
        "        if len(group['params']) > 1 and group['lr'] > 0:\n"
        "            raise RuntimeError('out of order')\n"
        "        return super().step(closure)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    yaml = SGD.replace("torch.optim.SGD", "breaking.Breaking")
    # The rate of the first step is zero.
    message = "breaking.Breaking raised RuntimeError in step 2: out of order"
    with pytest.raises(OptimizerError, match=message):
        run(optimizer_yaml=yaml)


def test_two_recipes_with_modules_of_one_name_are_not_mixed_up(tmp_path):
    run(budget_steps=5)
    (tmp_path / "toy_workload.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "toy.yaml").write_text(
        (TOY / "hparams" / "toy.yaml").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match="module toy_workload of the recipe"):
        trial.run(config(workload="toy.yaml"), "unused", str(tmp_path))


def test_calibration_measures_all_optimizers_side_by_side():
    result = calibration.run(
        {
            "kind": "calibration",
            "workload": "hparams/toy.yaml",
            "data": "synthetic",
            "optimizers": {"adamw": ADAMW, "sgd": SGD},
            "seed": 1,
            "steps": 20,
            "threads": 1,
            "overrides": {},
        },
        "unused",
        recipe_folder=str(TOY),
    )
    json.dumps(result, allow_nan=False)
    assert list(result["optimizers"]) == ["adamw", "sgd"]
    for found in result["optimizers"].values():
        assert found["low_s"] <= found["step_s"] <= found["high_s"]
        assert found["optimizer_s"] > 0
    assert result["optimizers"]["sgd"]["kernel"] == "foreach"
    assert result["optimizers"]["sgd"]["state_bytes_per_parameter"] == 4.0
    assert result["optimizers"]["adamw"]["kernel"] == "for-loop"
    # How much of what: a benchmark says it, on a machine without other work.
    for name in ("forward_backward_s", "evaluation_s", "overhead_share"):
        assert result[name] > 0


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_agree_on_one_result(tmp_path):
    # SpeechBrain makes a batch normalisation of several processes one that
    # knows GPUs only.
    two = config(target=8.0, processes=2, overrides={"batch_norm": False})
    result = distributed.run(two, tmp_path, recipe_folder=str(TOY))
    assert result["status"] == "done", result["reason"]
    assert result["reached"]
    assert math.isfinite(result["seconds_to_target"]["step"])
