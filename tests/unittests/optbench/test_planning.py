"""From a suite to trials: counts, pairing, hashes, and what a user mistypes."""

import dataclasses
from pathlib import Path

import pytest

from leanbrain.checks import UserError
from leanbrain.dataio.digest import data_digest
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.suite import cells, planning
from leanbrain.optbench.suite.costs import Costs
from leanbrain.optbench.suite.suite import Suite, find_optimizers
from leanbrain.optbench.suite.workload_file import read_workload

ROOT = Path(__file__).resolve().parents[3]
OPTIMIZERS = ROOT / "hparams" / "optimizers"
NAMES = ("adamw", "sgd_nesterov")
WORKLOAD = """\
total_steps: 100
eval_every_steps: 5
metric: error_percent
size: 8
double: !ref <size> * 2
net: !new:torch.nn.Linear
    in_features: !ref <size>
    out_features: !ref <double>
variants:
    wide: {size: 16}
    narrow: {size: 4}
"""


@pytest.fixture
def workload_file(tmp_path):
    path = tmp_path / "Toy" / "hparams" / "toy.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(WORKLOAD)
    return path


@pytest.fixture
def suite(workload_file):
    rules = load_rules(ROOT / "hparams" / "rules" / "cpu.yaml")
    return Suite(
        rules=rules,
        workloads=[read_workload(workload_file)],
        optimizers=NAMES,
        specs=find_optimizers([*NAMES, *rules.target.optimizers]),
    )


@pytest.fixture
def targets():
    entry = {"target": 10.0, "optimizer": "adamw"}
    return {"toy": entry, "toy/wide": entry, "toy/narrow": entry}


def keys(trials, *names):
    return [tuple(t.config[x] for x in names) for t in trials]


def test_a_workload_is_read_without_building_it(workload_file):
    workload = read_workload(workload_file)
    assert workload.path == "hparams/toy.yaml" and workload.name == "toy"
    assert (workload.total_steps, workload.eval_every_steps) == (100, 5)
    assert workload.variants == ("wide", "narrow")
    assert read_workload(workload_file, {"total_steps": 7}).total_steps == 7


@pytest.mark.parametrize("key", ["total_steps", "eval_every_steps", "metric"])
def test_a_workload_without_a_key_is_named(workload_file, key):
    text = WORKLOAD.replace(f"{key}:", f"other_{key}:")
    workload_file.write_text(text)
    with pytest.raises(UserError, match=f"must have the key `{key}`"):
        read_workload(workload_file)


def test_scores_are_every_combination_once(suite, targets):
    trials = planning.plan_scores(suite, Costs(), targets)
    rules = suite.rules
    cells = keys(trials, "workload", "optimizer", "study", "trial")
    assert len(set(cells)) == len(cells)
    assert len(cells) == rules.studies * rules.trials_per_study * len(NAMES)
    assert len({t.digest for t in trials}) == len(trials)


def test_optimizers_share_seeds_and_trials_do_not(suite, targets):
    trials = planning.plan_scores(suite, Costs(), targets)
    by_cell = {}
    for study, trial, seed in keys(trials, "study", "trial", "seed"):
        by_cell.setdefault((study, trial), set()).add(seed)
    assert all(len(seeds) == 1 for seeds in by_cell.values())
    assert len(set.union(*by_cell.values())) == len(by_cell)


def test_points_that_set_the_target_are_not_scored(suite, targets):
    def points(trials):
        chosen = [t.config for t in trials if t.config["optimizer"] == "adamw"]
        return {tuple(x["hyperparameters"].items()) for x in chosen}

    searched = points(planning.plan_target_search(suite, Costs()))
    scored = points(planning.plan_scores(suite, Costs(), targets))
    assert searched and scored and not searched & scored


def test_self_tuning_runs_the_numbers_of_the_file(suite, targets):
    rules = dataclasses.replace(suite.rules, tuning="self", trials_per_study=1)
    suite = dataclasses.replace(suite, rules=rules)
    trials = planning.plan_scores(suite, Costs(), targets)
    assert len(trials) == rules.studies * len(NAMES)
    assert all(t.config["hyperparameters"] == {} for t in trials)


def test_listed_points_are_handed_out_in_turn(suite, targets):
    points = [{"lr": 10.0**-i} for i in range(5)]
    specs = {
        **suite.specs,
        "adamw": dataclasses.replace(
            suite.specs["adamw"], search_space=points, short_search_space={}
        ),
    }
    suite = dataclasses.replace(suite, specs=specs)
    trials = planning.plan_scores(suite, Costs(), targets)
    used = [
        t.config["hyperparameters"]
        for t in trials
        if t.config["optimizer"] == "adamw"
    ]
    assert len(used) == 9 and all(x in points for x in used)


def test_a_file_must_be_called_as_its_optimizer(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((OPTIMIZERS / "adamw.yaml").read_text())
    with pytest.raises(UserError, match="must be mine, .* got adamw"):
        find_optimizers([str(path)])
    path.write_text(path.read_text().replace("name: adamw", "name: mine"))
    assert list(find_optimizers([str(path)])) == ["mine"]


def test_no_point_is_used_by_two_trials(suite, targets):
    trials = planning.plan_scores(suite, Costs(), targets)
    for name in NAMES:
        points = [
            tuple(t.config["hyperparameters"].items())
            for t in trials
            if t.config["optimizer"] == name
        ]
        assert len(set(points)) == len(points) > 1


def test_target_search_gives_all_the_same_number_of_points(suite):
    trials = planning.plan_target_search(suite, Costs())
    target = suite.rules.target
    assert len(trials) == 3 * target.points * len(target.optimizers)
    assert {t.config["target"] for t in trials} == {None}
    assert {t.config["budget_steps"] for t in trials} == {100}


def test_target_seeds_repeat_the_best_point(suite):
    best = {
        name: {"optimizer": "adamw", "hyperparameters": {"lr": 0.1 * i}}
        for i, name in enumerate(("toy", "toy/wide", "toy/narrow"), 1)
    }
    trials = planning.plan_target_seeds(suite, Costs(), best)
    assert len(trials) == 3 * suite.rules.target.seeds
    for t in trials:
        name = cells.target_name(t.config["workload"], t.config["variant"])
        assert t.config["hyperparameters"] == best[name]["hyperparameters"]
    assert len(set(keys(trials, "seed"))) == len(trials)


def row(optimizer, lr, steps, best, study, status="done"):
    """Reached the relaxed target of 12 at `steps`, and then `best`."""
    curve = [{"step": 5, "valid": {"error": 50.0}}]
    if steps is not None:
        curve.append({"step": steps, "valid": {"error": 11.0}})
    return {
        "status": status,
        "config": {
            "kind": "score",
            "workload": "hparams/toy.yaml",
            "optimizer": optimizer,
            "study": study,
            "hyperparameters": {"lr": lr},
            "target": 10.0,
            "metric": "error",
        },
        "result": {"steps_to_target": None, "best": best, "curve": curve},
    }


def test_variants_take_the_points_that_were_first_on_the_base(suite, targets):
    rows = [
        row("adamw", 0.1, 60, 9.0, study=0),
        row("adamw", 0.2, 40, 9.5, study=0),
        row("adamw", 0.3, None, 1.0, study=0),
        row("adamw", 0.4, 10, 1.0, study=0, status="void"),
        row("adamw", 0.5, 80, 9.0, study=1),
        row("adamw", 0.6, 70, 9.0, study=1, status="diverged"),
        row("adamw", 0.7, None, 14.0, study=2),
        row("sgd_nesterov", 0.8, None, 20.0, study=0),
        row("sgd_nesterov", 0.9, None, 15.0, study=0),
    ]
    trials = planning.plan_variants(suite, Costs(), targets, rows)
    cells = keys(trials, "variant", "optimizer", "study", "trial")
    assert len(set(cells)) == len(cells) == 2 * 2 * 3
    assert {x[2] for x in cells} == {0}
    for variant in ("wide", "narrow"):
        for name, lrs in {
            "adamw": [0.2, 0.6, 0.7],
            # Studies without a sound trial: the numbers of the file.
            "sgd_nesterov": [0.9, None, None],
        }.items():
            chosen = [
                t.config["hyperparameters"].get("lr")
                for t in trials
                if t.config["variant"] == variant
                and t.config["optimizer"] == name
            ]
            assert chosen == lrs


def test_rules_without_variants_plan_none(suite, targets):
    rules = dataclasses.replace(suite.rules, variants=False)
    suite = dataclasses.replace(suite, rules=rules)
    assert planning.plan_variants(suite, Costs(), targets, []) == []


def test_calibration_holds_all_optimizers_of_a_workload(suite):
    (trial,) = planning.plan_calibration(suite, NAMES)
    assert tuple(trial.config["optimizers"]) == NAMES
    assert trial.config["kind"] == "calibration"


def test_another_device_is_another_trial(suite, targets):
    (first, *_) = planning.plan_scores(suite, Costs(), targets)
    suite = dataclasses.replace(suite, device="cuda")
    (second, *_) = planning.plan_scores(suite, Costs(), targets)
    assert first.digest != second.digest


def test_a_workload_without_embedded_data_needs_a_folder(
    workload_file, suite, tmp_path
):
    text = "has_embedded_data: False\ndata_files: [names.txt]\n"
    workload_file.write_text(WORKLOAD + text)
    workload = read_workload(workload_file)
    with pytest.raises(UserError, match="toy has no embedded data, got None"):
        suite.data_of(workload)
    suite = dataclasses.replace(suite, data_folder=str(tmp_path))
    with pytest.raises(UserError, match="must hold names.txt"):
        suite.data_of(workload)
    (tmp_path / "names.txt").write_text("a")
    assert suite.data_of(workload) == data_digest(tmp_path, ["names.txt"])


def test_places_on_this_machine_are_not_hashed(suite, targets):
    plan = planning.plan_scores
    (first, *_) = plan(suite, Costs(), targets)
    moved = dataclasses.replace(suite.workloads[0], folder=Path("/elsewhere"))
    suite = dataclasses.replace(suite, workloads=[moved])
    (second, *_) = plan(suite, Costs(), targets)
    assert first.context != second.context
    assert first.digest == second.digest


def test_other_code_is_another_trial(suite, targets, monkeypatch):
    (first, *_) = planning.plan_scores(suite, Costs(), targets)
    monkeypatch.setattr(cells, "code_digest", lambda: "other")
    (second, *_) = planning.plan_scores(suite, Costs(), targets)
    assert first.digest != second.digest


def test_seeds_are_the_same_in_every_process():
    # Python's own hash of a text would be another one in each.
    assert cells.paired_seed("score", "toy", None, 1, 2) == 1329549095
    assert cells.paired_seed("score", "toy", None, 2, 1) != 1329549095


def test_costs_become_estimates_and_limits(suite, targets):
    calibration = {
        "status": "done",
        "config": {"kind": "calibration", "workload": "hparams/toy.yaml"},
        "result": {
            "optimizers": {"adamw": {"step_s": 0.02}},
            "evaluation_s": 0.05,
        },
    }
    costs = Costs.from_rows([calibration], {"hparams/toy.yaml": 5})
    trials = planning.plan_scores(suite, costs, targets)
    by_name = {t.config["optimizer"]: t for t in trials}
    budget = by_name["adamw"].config["budget_steps"]
    # The schedule ends at zero: steps after the horizon are never made.
    assert budget > 100
    assert by_name["adamw"].cost_s == pytest.approx(1 + 100 * 0.03)
    assert by_name["adamw"].timeout_s >= 10 * by_name["adamw"].cost_s
    assert by_name["sgd_nesterov"].cost_s is None


def test_a_misspelt_optimizer_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"got 'adamv' \(nearest: .*adamw"):
        find_optimizers(["adamv"])


def test_an_optimizer_named_twice_is_refused(suite):
    with pytest.raises(UserError, match="must name each optimizer once"):
        dataclasses.replace(suite, optimizers=("adamw", "adamw"))


def test_a_data_folder_without_manifests_is_named(tmp_path):
    (tmp_path / "train.csv").write_text("ID\n")
    with pytest.raises(UserError, match="which has no valid.csv"):
        data_digest(tmp_path)


def test_other_manifests_are_other_data(tmp_path):
    for name in ("train.csv", "valid.csv"):
        (tmp_path / name).write_text("ID\n")
    before = data_digest(tmp_path)
    (tmp_path / "valid.csv").write_text("ID\na\n")
    assert data_digest(tmp_path) != before
