"""Sparse runs of the digits recipe: their pruner, their cost, their table."""

import json
from datetime import date
from types import SimpleNamespace

import pytest
import yaml

from leanbrain.checks import UserError
from leanbrain.pruning.host.starting import connect_pruner

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
    arguments = [str(suite_file(equal=["flops"])), "--workers", "0"]
    arguments += ["--data_folder", str(corpus), "--results_folder", "out"]
    found = tmp_path / "out/tiny.csv"
    sparse.main([*arguments, "--methods", "gradual"])
    lines = found.read_text().splitlines()
    assert len(lines) == 2
    # A part that is run later adds to what is there.
    sparse.main([*arguments, "--methods", "set"])
    assert found.read_text().splitlines()[:2] == lines
    gradual, grown = piece("sparse_rows").read_rows(found)
    assert gradual["dense_steps"] == gradual["steps"] == "4"
    assert grown["dense_steps"] == "0" and int(grown["steps"]) > 40
    for row in (gradual, grown):
        assert int(row["target_weights"]) == WEIGHTS
        assert float(row["real_sparsity"]) == pytest.approx(0.9, abs=1e-3)
        assert row["seed"] == "5" and float(row["clean"]) <= 100
    # At a tenth of the weights, every step but the first, which shows what to
    # prune: nothing dense in between.
    full = 6 * (0.1 * (MACS - 1920) + 1920) * int(grown["steps"])
    full += 6 * 0.9 * (MACS - 1920)
    assert 0.8 * full < float(grown["flops"]) < full
    # The rehearsal knew the length of both runs and their batches.
    for row in (gradual, grown):
        planned = float(row["planned_flops"])
        assert float(row["flops"]) == pytest.approx(planned, rel=1e-3)
    # SET spends what the dense model and its pruning do.
    plan = float(gradual["planned_flops"])
    assert float(grown["flops"]) == pytest.approx(plan, rel=0.05)
    runs = sorted((tmp_path / "out/trials").iterdir())
    results = [json.loads((x / "work/result.json").read_text()) for x in runs]
    by_method = {x["method"]: x for x in results}
    assert set(by_method) == {None, "lap", "set"}
    # Batches hold two or three words of 0.3 to 0.5 s, so less than a second.
    assert 0.75 < by_method[None]["flops"] / (6 * MACS * 4) < 1.0
    names = [f"blocks.{i}.conv.conv.weight" for i in range(3)]
    assert list(by_method["set"]["density"]) == names
    assert max(by_method["lap"]["density"].values()) == pytest.approx(
        0.1, abs=1e-4
    )
    capsys.readouterr()
    text = found.read_text()
    sparse.main(arguments)
    assert "All 3 trials are recorded already." in capsys.readouterr().out
    assert found.read_text() == text


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
    costs = {"gradual": 5.0, "set": 1.5}
    planner.step_flops = lambda method, sparsity, steps: costs[method.name]
    planner.batches = lambda seed, steps: 0.9 * steps
    assert planner.budget() == 40 * 10 + 10 * 5
    rows = {(x.cell.method, x.equal): x for x in planner.rows()}
    equal = rows["set, equal flops", "flops"]
    assert equal.run.steps == 300 and equal.planned_flops == 405
    assert not equal.run.needs
    pruned = rows["gradual, equal flops", "flops"]
    assert pruned.run.steps == 10 and pruned.planned_flops == 405
    assert [run.steps for run in pruned.run.needs] == [40]
    assert rows["set, equal steps", "steps"].run.steps == 50
    # What both kinds of equality ask for is trained once.
    again = rows["gradual, equal steps", "steps"]
    assert again.run.trial.digest == pruned.run.trial.digest


def test_a_run_is_rehearsed_at_its_own_length(
    piece, corpus, suite_file, tmp_path
):
    """A step costs less in a longer run; one that never fits is given up."""
    runs, suites = piece("sparse_runs"), piece("sparse_suite")
    suite = suites.load_suite(suite_file(dense_steps=40, pruning_steps=10))
    planner = runs.Planner(suite, corpus, tmp_path)
    planner.dense_step, asked = 10.0, []

    def cost(method, sparsity, steps):
        asked.append(steps)
        return 5.0 if method.name == "gradual" else 1.0 + 50 / steps

    planner.step_flops = cost
    _, grown = suite.methods
    length = planner.length(grown, 0.9, "flops")
    # steps + 50 = 450, the budget
    assert length.steps == pytest.approx(400, abs=5)
    assert length.gap == pytest.approx((length.steps + 50) / 450 - 1)
    assert asked[-1] == length.steps
    planner._lengths.clear()
    planner.step_flops = lambda method, sparsity, steps: (
        5.0 if method.name == "gradual" else 4.0 if steps > 150 else 2.0
    )
    length = planner.length(grown, 0.9, "flops")
    assert length.steps == 112 and length.gap == pytest.approx(-226 / 450)


def test_a_run_is_told_apart_by_what_its_yaml_says(
    piece, corpus, suite_file, tmp_path
):
    runs, suites = piece("sparse_runs"), piece("sparse_suite")

    def digest(**keys):
        suite = suites.load_suite(suite_file(**keys))
        planner = runs.Planner(suite, corpus, tmp_path)
        planner.step_flops = lambda method, sparsity, steps: 3.0 * MACS
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
        ({"equal": []}, "`equal` must be a list of at least.* got \\[\\]"),
        ({"seeds": None}, "`seeds` of the suite must be a list, got None"),
        ({"step_s": "x"}, "`step_s` of the suite must be a number, got 'x'"),
        ({"seeds": []}, "`seeds` must be a list of at least.* got \\[\\]"),
        ({"seeds": ["a"]}, "`seeds`.*integer.*'a'"),
        ({"seeds": [1, 1]}, "`seeds` must hold nothing twice"),
        ({"sparsities": []}, "`sparsities` must be a list.* got \\[\\]"),
        ({"step_s": 0}, "`step_s`.*got 0"),
        ({"overrides": {"max_batch": 1}}, "key of hparams.*'max_batch'"),
        ({"overrides": {"seed": 1}}, "`overrides` must leave.* got 'seed'"),
        ({"name": date(2020, 1, 1)}, "YAML of plain values"),
        ({"methods": [{"name": "a"}]}, "`name` and `method`"),
    ],
)
def test_a_wrong_suite_is_named(piece, suite_file, keys, match):
    suites = piece("sparse_suite")
    with pytest.raises(UserError, match=match):
        suites.load_suite(suite_file(**keys))


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"sparsities": 0.9}, "`sparsities` must be a list.* got 0.9"),
        ({"sparsities": [1.0]}, "`sparsities`.*1"),
        ({"from_dense": "no"}, "`from_dense` of a must be True.* got 'no'"),
        ({"settings": [1]}, "`settings` of a must be keys.* got \\[1\\]"),
        ({"settings": {"sparsity": 0.5}}, "`settings` of a.* got 'sparsity'"),
        ({"method": 3}, "`method` must be text, got 3"),
        ({"colour": 1}, "key of a method.*'colour'"),
    ],
)
def test_a_wrong_method_is_named(piece, keys, match):
    method = {"name": "a", "method": "set", **keys}
    with pytest.raises(UserError, match=match):
        piece("sparse_suite").read_method(method, [0.9])


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
            ("rigl", "2", "0", "40", "14.0"),
        ]
    ]
    lines = table(rows).splitlines()
    assert lines[2] == (
        "| gradual | 90 % | 2 | 8 + 4 | 2.0 | 2.1 | 12.0 ± 2.8 |"
    )
    assert lines[3].startswith("| rigl | 90 % | 2 | 40 |")
    # Half a step of 0.5, with t = 12.706 of one degree of freedom
    assert lines[5] == (
        "- rigl minus gradual at 90 %, clean error: -0.5 [-6.9, +5.9], "
        "by seed -1.0, +0.0."
    )
    assert "commit 01234567." in lines[-1]


def test_pruned_runs_are_trained_as_dense_ones(recipe):
    """pruned.yaml is fbank.yaml with a few lines more."""

    def lines(name):
        text = (recipe / "hparams" / name).read_text().splitlines()
        return [x for x in text if x and not x.startswith(("#", "output_f"))]

    extra = iter(lines("pruned.yaml"))
    assert all(line in extra for line in lines("fbank.yaml"))


def test_a_start_that_is_not_there_is_named(tmp_path):
    hparams = {"save_folder": str(tmp_path), "dense_checkpoint": "nowhere"}
    brain = SimpleNamespace(pruner=object())
    with pytest.raises(UserError, match="of a dense run, got nowhere"):
        connect_pruner(brain.pruner, brain, {**hparams, "model": None})
