"""Sparse runs of the digits recipe: their pruner, their cost, their table."""

import json
from types import SimpleNamespace

import pytest
import yaml

from leanbrain.checks import UserError

# 40 x 96 x 5 + 2 x 96 x 96 x 5: the convolutions; the output stays dense.
WEIGHTS = 40 * 96 * 5 + 2 * 96 * 96 * 5
# One second is 101 frames; an output of 192 x 10 once per utterance.
MACS = 101 * WEIGHTS + 1920

SUITE = {
    "name": "tiny",
    "seeds": [5],
    "sparsities": [0.9],
    "dense_steps": 4,
    "pruning_steps": 4,
    "yardstick": "gradual",
    "equal": ["flops", "steps"],
    "epochs": 2,
    "overrides": {
        "max_batch_s": 1.0,
        "warmup_steps": 2,
        "noise_colours": [],
        "speeds": [1.0],
    },
    "step_s": 0.1,
    "run_s": 1.0,
    "methods": [
        {"name": "gradual", "method": "lap", "from_dense": True},
        {"name": "set", "method": "set", "settings": {"interval": 2}},
    ],
}


@pytest.fixture
def suite_file(tmp_path):
    """Writes a suite with some keys of it replaced."""

    def write(**keys):
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump({**SUITE, **keys}))
        return path

    return write


def test_a_suite_from_dense_and_from_scratch(
    piece, corpus, suite_file, tmp_path, monkeypatch, capsys
):
    """Three trainings, the same command again none; FLOPs as planned."""
    monkeypatch.chdir(tmp_path)
    sparse = piece("sparse")
    monkeypatch.setattr("sparse_cost.REHEARSED_STEPS", 60)
    arguments = [str(suite_file(equal=["flops"])), "--workers", "0"]
    arguments += ["--data_folder", str(corpus), "--results_folder", "out"]
    sparse.main(arguments)
    text = (tmp_path / "out/tiny.csv").read_text()
    lines = [line.split(",") for line in text.splitlines()]
    gradual, grown = (dict(zip(lines[0], x, strict=True)) for x in lines[1:])
    assert gradual["dense_steps"] == gradual["steps"] == "4"
    assert grown["dense_steps"] == "0" and int(grown["steps"]) > 40
    for row in (gradual, grown):
        assert int(row["target_weights"]) == WEIGHTS
        assert float(row["real_sparsity"]) == pytest.approx(0.9, abs=1e-3)
        assert row["seed"] == "5" and float(row["clean"]) <= 100
    # At a tenth of the weights, every step: nothing dense in between.
    cost = 6 * (0.1 * (MACS - 1920) + 1920) * int(grown["steps"])
    assert float(grown["flops"]) == pytest.approx(cost, rel=1e-3)
    assert float(grown["planned_flops"]) == pytest.approx(cost, rel=1e-3)
    assert float(gradual["flops"]) > 6 * MACS * 4
    # SET spends what the dense model and its pruning were planned to.
    plan = float(gradual["planned_flops"])
    assert cost == pytest.approx(plan, rel=0.03)
    runs = sorted((tmp_path / "out/trials").iterdir())
    results = [json.loads((x / "work/result.json").read_text()) for x in runs]
    by_method = {x["method"]: x for x in results}
    assert set(by_method) == {None, "lap", "set"}
    assert by_method[None]["flops"] == pytest.approx(6 * MACS * 4)
    names = [f"blocks.{i}.conv.conv.weight" for i in range(3)]
    assert list(by_method["set"]["density"]) == names
    assert max(by_method["lap"]["density"].values()) == pytest.approx(
        0.1, abs=1e-4
    )
    capsys.readouterr()
    sparse.main(arguments)
    assert "All 3 trials are recorded already." in capsys.readouterr().out


def test_steps_are_those_that_the_flops_allow(
    piece, corpus, suite_file, tmp_path
):
    """The planner by hand, with made-up costs of a step."""
    runs, suites = piece("sparse_runs"), piece("sparse_suite")
    suite = suites.load_suite(suite_file(dense_steps=40, pruning_steps=10))
    planner = runs.Planner(suite, corpus, tmp_path)
    assert planner.dense_step == pytest.approx(6 * MACS)
    planner.dense_step = 10.0
    gradual, grown = suite.methods
    planner._costs = {("gradual", 0.9): 5.0, ("set", 0.9): 1.5}
    assert planner.budget() == 40 * 10 + 10 * 5
    rows = {(x.cell.method, x.equal): x for x in planner.rows()}
    equal = rows["set, equal flops", "flops"]
    assert equal.run.steps == 300 and equal.planned_flops == 450
    assert not equal.run.needs
    pruned = rows["gradual, equal flops", "flops"]
    assert pruned.run.steps == 10 and pruned.planned_flops == 450
    assert [run.steps for run in pruned.run.needs] == [40]
    assert rows["set, equal steps", "steps"].run.steps == 50
    # What both kinds of equality ask for is trained once.
    again = rows["gradual, equal steps", "steps"]
    assert again.run.trial.digest == pruned.run.trial.digest


def test_a_run_is_told_apart_by_what_its_yaml_says(
    piece, corpus, suite_file, tmp_path
):
    runs, suites = piece("sparse_runs"), piece("sparse_suite")

    def digest(**keys):
        suite = suites.load_suite(suite_file(**keys))
        planner = runs.Planner(suite, corpus, tmp_path)
        planner._costs = {("gradual", 0.9): 5.0, ("set", 0.9): 1.5}
        return planner.rows()[1].run.trial.digest

    assert digest() == digest(step_s=0.7)
    overrides = {**SUITE["overrides"], "warmup_steps": 3}
    assert digest() != digest(overrides=overrides)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"yardstick": "set"}, "`yardstick` must be .* got 'set'"),
        ({"epochs": 0}, "`epochs`.*got 0"),
        ({"equal": ["time"]}, "`equal`.*'time'"),
        ({"colour": 1}, "key of the suite.*'colour'"),
        ({"seeds": None}, "`seeds` of the suite.*got None"),
        ({"methods": [{"name": "a"}]}, "`name` and `method`"),
    ],
)
def test_a_wrong_suite_is_named(piece, suite_file, keys, match):
    suites = piece("sparse_suite")
    with pytest.raises(UserError, match=match):
        suites.load_suite(suite_file(**keys))


def test_the_table_by_hand(piece):
    table = piece("sparse_table").sparse_table
    base = {
        "sparsity": "0.9",
        "equal": "flops",
        "planned_flops": "2.0e+09",
        "flops": "2.1e+09",
        "cpu": "x",
        "torch": "2",
        "speechbrain": "1",
        "commit": "0123456789",
    }
    keys = ("method", "seed", "dense_steps", "steps", "clean")
    rows = [
        {**base, **dict(zip(keys, values, strict=True))}
        for values in [
            ("gradual", "1", "8", "4", "10.0"),
            ("gradual", "2", "8", "4", "14.0"),
            ("rigl", "1", "0", "40", "9.0"),
            ("rigl", "2", "0", "40", "15.0"),
        ]
    ]
    lines = table(rows).splitlines()
    assert lines[2] == (
        "| gradual | 90 % | 2 | 8 + 4 | 2.0 | 2.1 | 12.0 ± 2.8 |"
    )
    assert lines[3].startswith("| rigl | 90 % | 2 | 40 |")
    assert lines[5] == (
        "- rigl at 90 %, difference of the clean error by seed: "
        "-1.0, +1.0 to gradual."
    )
    assert "commit 01234567." in lines[-1]


def test_pruned_runs_are_trained_as_dense_ones(recipe):
    """pruned.yaml is fbank.yaml with a few lines more."""

    def lines(name):
        text = (recipe / "hparams" / name).read_text().splitlines()
        return [x for x in text if x and not x.startswith(("#", "output_f"))]

    extra = iter(lines("pruned.yaml"))
    assert all(line in extra for line in lines("fbank.yaml"))


def test_a_dense_run_is_no_start_of_a_pruned_one(piece, tmp_path):
    """And a pruned run is not continued as a dense one."""
    sparsity = piece("sparsity")
    hparams = {"save_folder": str(tmp_path), "dense_checkpoint": "nowhere"}
    brain = SimpleNamespace(pruner=object())
    with pytest.raises(UserError, match="of a dense run, got nowhere"):
        sparsity.connect_pruner({**hparams, "model": None}, brain)
