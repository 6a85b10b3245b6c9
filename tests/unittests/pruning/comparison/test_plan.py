"""Plans: which trainings a suite takes, and what they are told."""

import json
from dataclasses import replace

import pytest
from small_comparison import make_site, make_suite, write_data

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.cells import Input
from leanbrain.pruning.comparison.plan import make_plan
from leanbrain.pruning.comparison.stages import all_runs, describe
from leanbrain.pruning.comparison.suite import Choice, MasksFrom, Method


def options_of(run):
    """What the command line of a run says."""
    words = [x[2:].partition("=") for x in run.trial.config["command"][3:]]
    return {key: json.loads(value) for key, _, value in words}


def by_name(cells):
    return {(x.method, x.sparsity, x.seed): x for x in cells}


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path)


@pytest.fixture
def cells(site):
    return by_name(make_plan(make_suite(), site))


def test_each_cell_is_planned_after_its_dense_start(cells):
    assert list(cells) == [
        ("start", 0.0, 1),
        ("dense", 0.0, 1),
        ("lap", 0.5, 1),
        ("lap", 0.8, 1),
        ("lsp", 0.8, 1),
        ("fixed", 0.8, 1),
        ("of_lap", 0.5, 1),
    ]


def test_a_dense_start_is_the_recipes_dense_run(cells):
    run = cells["start", 0.0, 1].runs["all"]
    assert run.trial.config["command"][2] == "{recipe}/hparams/dense.yaml"
    assert options_of(run) == {
        "data_folder": "{data}",
        "output_folder": "{folder}",
        "languages": ["en", "ru"],
        "seed": 1,
        "lstm_neurons": 8,
    }
    assert (run.steps, run.stage) == (10, 0)


def test_a_run_of_all_languages(cells):
    run = cells["lap", 0.8, 1].runs["all"]
    options = options_of(run)
    assert options["method"] == "lap"
    assert options["pruning"] == {"sparsity": 0.8, "heal": 0.2}
    assert options["languages"] == ["en", "ru"] and not options["subset"]
    assert options["dense_checkpoint"] == "{start}/save"
    assert (options["lr"], options["seed"]) == (0.2, 1)
    assert (options["number_of_epochs"], options["batches_per_epoch"]) == (
        3,
        20,
    )
    start = cells["start", 0.0, 1].runs["all"]
    assert run.needs == (start,) and run.stage == 1
    assert run.trial.context["places"]["start"] == str(start.folder)


def test_a_run_per_language(cells):
    runs = cells["lsp", 0.8, 1].runs
    assert list(runs) == ["en", "ru"]
    for language, run in runs.items():
        options = options_of(run)
        assert options["languages"] == [language] and options["subset"]
        assert run.steps == 15


def test_masks_come_from_each_language_or_from_all(cells):
    fixed = cells["fixed", 0.8, 1].runs["all"]
    files = options_of(fixed)["pruning"]["initial_masks"]
    assert files == {"en": "{masks_en}", "ru": "{masks_ru}"}
    sources = cells["lsp", 0.8, 1].runs
    for language in ("en", "ru"):
        place = fixed.trial.context["places"][f"masks_{language}"]
        assert place == str(sources[language].folder / "masks.pt")
    assert fixed.stage == 2
    of_lap = cells["of_lap", 0.5, 1].runs["all"]
    assert options_of(of_lap)["pruning"]["initial_masks"] == "{masks_all}"
    assert of_lap.needs[1] is cells["lap", 0.5, 1].runs["all"]


def test_total_steps_count_the_runs_that_find_masks(cells):
    total = {name: cell.total_steps for (name, _, _), cell in cells.items()}
    assert total == {
        "start": 0,
        "dense": 60,
        "lap": 60,
        "lsp": 30,
        "fixed": 90,
        "of_lap": 120,
    }


def test_shared_runs_are_run_once(cells):
    runs = all_runs(cells.values())
    digests = [run.trial.digest for run in runs]
    assert len(digests) == len(set(digests)) == 8
    for i, run in enumerate(runs):
        assert all(x in runs[:i] for x in run.needs)


def test_masks_of_a_sparsity_that_is_no_row_are_planned(site):
    choice = Choice(methods=["of_lap"], seeds=[7])
    cells = make_plan(make_suite(), site, choice)
    assert [x.method for x in cells] == ["start", "of_lap"]
    assert len(all_runs(cells)) == 3
    assert {x.seed for x in cells} == {7}


def identity(suite, site):
    return {
        key: [run.trial.digest for run in cell.runs.values()]
        for key, cell in by_name(make_plan(suite, site)).items()
    }


def test_a_new_mask_finder_is_a_new_run_of_all_that_build_on_it(site):
    before = identity(make_suite(), site)
    lsp = site.methods / "lsp.yaml"
    lsp.write_text(lsp.read_text() + "more: 1\n")
    after = identity(make_suite(), site)
    changed = {key[0] for key in before if before[key] != after[key]}
    assert changed == {"lsp", "fixed"}


@pytest.mark.parametrize(
    "path, changed",
    [
        ("recipe/hparams/dense.yaml", 7),
        ("recipe/hparams/pruned.yaml", 6),
        ("data/test.csv", 7),
        ("recipe/train.py", 0),
    ],
)
def test_files_of_a_run_are_part_of_what_it_is(site, path, changed):
    before = identity(make_suite(), site)
    with open(site.root.parent / path, "a") as file:
        file.write("more: 1\n")
    after = identity(make_suite(), site)
    assert sum(before[key] != after[key] for key in before) == changed


def test_where_things_lie_is_no_part_of_what_a_run_is(site, tmp_path):
    before = identity(make_suite(), site)
    for name in ("recipe", "methods", "data"):
        (tmp_path / name).rename(tmp_path / f"moved_{name}")
    moved = type(site)(
        *(tmp_path / f"moved_{x}" for x in ("recipe", "methods", "data")),
        tmp_path / "elsewhere",
    )
    assert identity(make_suite(), moved) == before


def test_a_method_of_ones_own(site, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text((site.methods / "lap.yaml").read_text())
    suite = make_suite([Method("mine", str(own), [0.5])])
    run = make_plan(suite, site)[1].runs["all"]
    assert options_of(run)["method"] == "{method}"
    assert run.trial.context["places"]["method"] == str(own)


def test_a_method_without_a_file_is_named(site):
    with pytest.raises(UserError, match="'lip' .nearest: l.*method mine"):
        make_plan(make_suite([Method("mine", "lip", [0.5])]), site)
    with pytest.raises(UserError, match="lip.yaml does not exist"):
        make_plan(make_suite([Method("mine", "/a/lip.yaml", [0.5])]), site)


def from_scratch():
    fixed = MasksFrom("raw")
    return [
        Method("raw", "lap", [0.5], from_scratch=True),
        Method("on_it", "fixed_pathways", [0.5], masks_from=fixed),
        Method(
            "both", "fixed_pathways", [0.5], {}, {}, False, 1.0, fixed, True
        ),
    ]


def test_a_run_from_scratch_has_no_start(site):
    cells = by_name(make_plan(make_suite(from_scratch()), site))
    run = cells["raw", 0.5, 1].runs["all"]
    assert options_of(run)["dense_checkpoint"] is False
    assert run.needs == () and run.stage == 0
    assert "start" not in run.trial.config
    assert "start" not in run.trial.context["places"]
    # Neither its name nor what it starts from hangs on the dense start.
    changed = make_suite(from_scratch(), start={"lstm_neurons": 9})
    again = by_name(make_plan(changed, site))
    same = {
        name: again[name, 0.5, 1].runs["all"].trial.digest
        == cells[name, 0.5, 1].runs["all"].trial.digest
        for name in ("raw", "on_it", "both")
    }
    assert same == {"raw": True, "on_it": False, "both": True}


def test_steps_of_the_start_are_counted_where_there_is_one(site):
    cells = by_name(make_plan(make_suite(from_scratch()), site))
    steps = {k[0]: (x.total_steps, x.start_steps) for k, x in cells.items()}
    assert steps == {
        "start": (0, 10),
        "raw": (60, 0),
        "on_it": (120, 10),
        "both": (120, 0),
    }
    choice = Choice(methods=["raw", "both"])
    cells = make_plan(make_suite(from_scratch()), site, choice)
    assert [x.method for x in cells] == ["raw", "both"]


def test_methods_that_name_their_seeds_come_last(site):
    own = Method("own", "lap", [0.5], seeds=[2, 9])
    suite = make_suite([own, Method("lap", "lap", [0.5])], seeds=[1, 2])
    cells = [(x.method, x.seed) for x in make_plan(suite, site)]
    start = "start"
    main = [(start, 1), ("lap", 1), (start, 2), ("lap", 2)]
    assert cells == [*main, ("own", 2)]
    cells = make_plan(suite, site, Choice(methods=["own"], seeds=[9]))
    assert [(x.method, x.seed) for x in cells] == [(start, 9), ("own", 9)]
    assert make_plan(suite, site, Choice(methods=["own"], seeds=[1])) == []


def test_a_pretrained_model_is_tested_as_it_is(site):
    suite = make_suite(zero_shot={"lstm_neurons": 9}, seeds=[3, 4])
    cells = make_plan(suite, site)
    assert [x.method for x in cells].count("zero_shot") == 1
    cell = cells[0]
    assert (cell.method, cell.sparsity, cell.seed) == ("zero_shot", 0.0, 3)
    assert (cell.total_steps, cell.start_steps) == (0, 0)
    run = cell.runs["all"]
    assert run.trial.config["command"][2] == "{recipe}/hparams/dense.yaml"
    options = options_of(run)
    assert (options["number_of_epochs"], options["lstm_neurons"]) == (0, 9)
    only = make_plan(suite, site, Choice(methods=["zero_shot"]))
    assert [x.method for x in only] == ["zero_shot"]
    others = make_plan(suite, site, Choice(methods=["lap"], seeds=[3]))
    assert "zero_shot" not in {x.method for x in others}
    with pytest.raises(UserError, match="`method` must be one of"):
        make_plan(make_suite(), site, Choice(methods=["zero_shot"]))
    with pytest.raises(UserError, match="zero_shot"):
        make_plan(make_suite(zero_shot={"lstm": 9}), site)


def test_what_every_run_is_given_is_known_by_its_content(site):
    def plan(value, digest):
        given = replace(site, inputs=(Input("model", value, digest),))
        return make_plan(make_suite(), given)

    cells = plan("/here", "abc")
    for run in all_runs(cells):
        assert options_of(run)["model"] == "{model}"
        assert run.trial.context["places"]["model"] == "/here"
    digests = [x.trial.digest for x in all_runs(cells)]
    moved = [x.trial.digest for x in all_runs(plan("/there", "abc"))]
    other = [x.trial.digest for x in all_runs(plan("/here", "abd"))]
    assert moved == digests and not set(other) & set(digests)


def test_checkpoints_of_dense_starts_stay(site):
    before = all_runs(make_plan(make_suite(), site))
    runs = all_runs(make_plan(make_suite(keep_checkpoints=False), site))
    assert [x.trial.context["discard"] for x in before] == [[]] * 8
    discard = [x.trial.context["discard"] for x in runs]
    assert discard == [[], *[["save"]] * 7]
    assert [x.trial.digest for x in runs] == [x.trial.digest for x in before]


def test_one_mask_for_all_languages_is_a_setting(site):
    settings = {"pathways": ["all"]}
    suite = make_suite([Method("one", "lap", [0.5], settings)])
    run = make_plan(suite, site)[1].runs["all"]
    pruning = {"sparsity": 0.5, **settings}
    assert options_of(run)["pruning"] == pruning


def test_further_languages_of_the_data_are_left_out(site):
    before = identity(make_suite(), site)
    write_data(site, "en", "ru", "de")
    cells = by_name(make_plan(make_suite(), site))
    for name in ("start", "dense"):
        options = options_of(cells[name, 0.0, 1].runs["all"])
        assert options["subset"] is True
    assert identity(make_suite(), site) != before


def test_a_plan_is_described_with_its_cost(site):
    cells = make_plan(make_suite(step_s=1.0, run_s=2.0), site)
    text = describe(cells, site.root, workers=1)
    # 10 + 4 x 60 + 2 x 15 steps and another 60, 8 runs.
    assert "8 runs, 5 min 56 s of work" in text
    (line,) = [x for x in text.splitlines() if x.startswith("fixed")]
    assert line.split() == [
        "fixed",
        "0.8",
        "1",
        "1",
        "60",
        "90",
        "0",
        "of",
        "1",
    ]
