"""The benchmark as its user runs it: targets, trials, report, again."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from leanbrain.__main__ import _parser_of
from leanbrain.checks import UserError
from leanbrain.commands import bench_optimizers
from leanbrain.experiments.ledger import Ledger

ROOT = Path(__file__).resolve().parents[3]
TOY = Path(__file__).resolve().parent / "toy"
RECIPE = ROOT / "recipes" / "OptimizerBenchmark"
OPTIMIZERS = ["adamw", "sgd_nesterov"]
SHORT = {"total_steps": 20, "width": 8}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The CPU tier's rules with fewer trials, on the toy workload."""
    folder = tmp_path_factory.mktemp("suite")
    rules = yaml.safe_load((ROOT / "hparams/rules/cpu.yaml").read_text())
    rules |= {"studies": 2, "trials_per_study": 1}
    rules["target"] |= {"optimizers": OPTIMIZERS, "points": 2, "seeds": 3}
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    content = {
        "rules": "rules.yaml",
        "workloads": [str(TOY / "hparams" / "toy.yaml")],
        "optimizers": OPTIMIZERS,
        "targets": {"embedded": "targets.json", "real": "real.json"},
        "calibration_steps": 4,
        "overrides": SHORT,
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def load(name):
    spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bench(words):
    """The command, whose errors are raised here."""
    parser = _parser_of("bench-optimizers", bench_optimizers)
    bench_optimizers.main(parser.parse_args(words))


def run(suite, *words):
    folder = suite.parent / "results"
    bench(
        [str(suite), "--results_folder", str(folder), "--workers", "0", *words]
    )
    return folder


@pytest.fixture(scope="module")
def finished(suite):
    run(suite, "--set_targets")
    return run(suite)


def test_targets_say_where_they_come_from(suite, finished):
    targets = json.loads((suite.parent / "targets.json").read_text())
    assert set(targets) == {"toy", "toy/wide", "toy/dry"}
    for target in targets.values():
        best = sorted(target["best_values"])
        assert target["target"] == best[1] and len(best) == 3
        assert target["optimizer"] in OPTIMIZERS


def test_every_trial_is_in_the_ledger_once(finished):
    rows = Ledger(finished).read()
    kinds = [x["config"]["kind"] for x in rows]
    assert {k: kinds.count(k) for k in kinds} == {
        # One for the targets alone, one with what the suite compares.
        "calibration": kinds.count("calibration"),
        "target_search": 3 * 2 * 2,
        "target_seed": 3 * 3,
        "score": 2 * 2,
        "variant": 2 * 2 * 2,
    }
    assert {x["status"] for x in rows} == {"done"}
    for row in rows:
        assert all(x["passed"] for x in row["result"].get("audit", []))


def test_the_report_is_of_these_trials(finished):
    for name in ("report.html", "report.md", "trials.csv"):
        assert (finished / name).stat().st_size > 500
    with open(finished / "report.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [x["workload"] for x in rows] == ["toy", "toy"]
    assert {x["optimizer"] for x in rows} == set(OPTIMIZERS)


def test_a_second_run_trains_nothing(suite, finished, capsys):
    before = (finished / "ledger.jsonl").read_bytes()
    run(suite)
    assert (finished / "ledger.jsonl").read_bytes() == before
    assert "All 8 trials are recorded already." in capsys.readouterr().out


def test_paired_trials_start_from_the_same_weights(finished):
    starts = {}
    for row in Ledger(finished).read():
        config = row["config"]
        if config["kind"] == "score":
            key = config["study"], config["trial"]
            starts.setdefault(key, set()).add(row["result"]["init_hash"])
    assert len(starts) == 2
    assert all(len(hashes) == 1 for hashes in starts.values())


def test_figures_are_kept_and_shown(finished, tmp_path, monkeypatch):
    tables = load("readme_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    tables.keep("mine", finished)
    text = "a\n<!-- optimizers: mine -->\nstale\n<!-- end -->\nb\n"
    filled = tables.filled(text)
    assert "stale" not in filled and filled.startswith("a\n<!--")
    assert "| adamw |" in filled and "12 trials" in filled
    assert tables.filled(filled) == filled
    assert (tmp_path / "mine.png").read_bytes()[:4] == b"\x89PNG"


def test_the_readmes_show_what_is_kept():
    tables = load("readme_tables")
    for path in tables.READMES:
        text = path.read_text(encoding="utf-8")
        assert "<!-- optimizers: " in text
        assert tables.filled(text) == text, f"run readme_tables.py: {path.name}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--optimizers", "adamv"], "nearest: .*adamw"),
        (["--workloads", "tox"], r"got 'tox' \(nearest: toy\)"),
        (["--overrides", "{widthh: 8}"], "nearest: width"),
        (["--overrides", "[1]"], "must be a YAML mapping"),
        (["--workers", "-1"], "`--workers` must be an integer >= 0"),
        (["--data_folder", "nowhere"], "must hold train.csv and valid.csv"),
        (["--targets", "nowhere.json"], "nowhere.json does not exist"),
        (["--optimizers", "nowhere.yaml"], "nowhere.yaml does not exist"),
    ],
)
def test_what_a_user_mistypes(suite, finished, words, sentence):
    with pytest.raises(UserError, match=sentence):
        run(suite, *words)


def test_targets_of_other_sources_are_refused(suite, finished):
    with pytest.raises(UserError, match="set targets again"):
        run(suite, "--overrides", "{total_steps: 30}")


BROKEN = """\
name: broken
source: by definition
needs: null
expected_class: builtins.dict
lr: 0.1
opt_class: !name:builtins.dict
    lr: !ref <lr>
lr_schedule: !name:leanbrain.optbench.optimizers.schedules.constant
search_space: {lr: {min: 0.1, max: 1.0, scaling: log}}
"""


def test_one_broken_optimizer_does_not_stop_the_others(
    suite, finished, tmp_path, capsys
):
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    names = ["adamw", str(file)]
    out = tmp_path / "results"
    words = [str(suite), "--workers", "0", "--results_folder", str(out)]
    bench([*words, "--optimizers", *names])
    rows = Ledger(out).read()
    ends = {}
    for row in rows:
        name = row["config"].get("optimizer")
        ends.setdefault(name, set()).add(row["status"])
    assert ends == {None: {"done"}, "adamw": {"done"}, "broken": {"failed"}}
    said = capsys.readouterr().out
    assert "broken cannot train hparams/toy.yaml" in said
    assert "(again: --retry failed)" in said
    assert "broken" in (out / "report.md").read_text()


def test_targets_of_other_workloads_stay(suite, finished, tmp_path):
    path = suite.parent / "targets.json"
    before = json.loads(path.read_text())
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({**before, "other": before["toy"]}))
    run(suite, "--set_targets", "--targets", str(mine))
    assert json.loads(mine.read_text()) == {**before, "other": before["toy"]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "cannot be built"),
        ("- 1", "cannot be built"),
        ("rulez: 1", r"got 'rulez' \(nearest: rules\)"),
        ("backend: !new:no.such.Class", "cannot be built"),
    ],
)
def test_a_broken_suite_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        bench([str(path)])


def test_a_backend_must_be_one(suite, tmp_path):
    path = suite.parent / "backend.yaml"
    path.write_text(suite.read_text() + "backend: 3\n")
    with pytest.raises(UserError, match="`backend` must have .*, got 3"):
        bench([str(path)])


@pytest.mark.parametrize("key", ["rules", "targets", "optimizers"])
def test_a_suite_without_a_key_is_named(suite, tmp_path, key):
    content = yaml.safe_load(suite.read_text())
    del content[key]
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=f"must have the key `{key}`"):
        bench([str(path)])


def test_published_targets_are_those_of_the_workloads():
    from leanbrain.optbench.suite.file import load_suite
    from leanbrain.optbench.suite.stages import published_targets

    cpu = load_suite(RECIPE / "suites" / "cpu.yaml").suite
    with pytest.raises(UserError, match="must have base"):
        published_targets(cpu)


@pytest.mark.parametrize("name", ["cpu"])
def test_suites_that_come_along_load(name):
    from leanbrain.optbench.suite.file import load_suite

    file = load_suite(RECIPE / "suites" / f"{name}.yaml")
    assert file.suite.workloads and file.suite.optimizers
    for kind in ("embedded", "real"):
        assert (RECIPE / "targets" / f"{name}_{kind}.json").is_file()
