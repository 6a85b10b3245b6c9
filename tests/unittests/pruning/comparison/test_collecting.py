"""From finished runs to rows: sums, merged languages, what is left out."""

import json

import pytest
import torch
from small_comparison import make_site, make_suite

from leanbrain.checks import UserError
from leanbrain.experiments.ledger import Ledger
from leanbrain.masking.maskset import MaskSet
from leanbrain.pruning.comparison.collecting import collect, seeds_in
from leanbrain.pruning.comparison.plan import make_plan
from leanbrain.pruning.comparison.rows import read_kept, write_kept
from leanbrain.pruning.comparison.stages import all_runs
from leanbrain.pruning.comparison.suite import Method

LENGTHS = {"en": {"en-2": 8, "en-1": 12}, "ru": {"ru-1": 10}}


def finish(site, run, number, said=None, **changes):
    """Leaves what a run leaves; its numbers are made of its own."""
    words = dict(x.split("=", 1) for x in run.trial.config["command"][3:])
    languages = json.loads(words["--languages"])
    masks = MaskSet({"w": [2, 2]}, ["all"])
    if len(languages) == 1:
        # English keeps the first row, Russian the first column.
        kept = torch.tensor([[True, True], [False, False]])
        masks.set("all", "w", kept if languages == ["en"] else kept.T)
    run.folder.mkdir(parents=True, exist_ok=True)
    masks.save(run.folder / "masks.pt")
    heard = {x: {k: [1, n] for k, n in LENGTHS[x].items()} for x in languages}
    (run.folder / "utterances.json").write_text(json.dumps(heard))
    pruning = json.loads(words.get("--pruning", "{}"))
    result = {
        "steps": run.steps,
        "seed": int(words["--seed"]),
        "sparsity": pruning.get("sparsity", 0.0),
        "cer": dict.fromkeys(languages, 10.0 + number),
        "wer": dict.fromkeys(languages, 20.0 + number),
        "flops": 100.0 + number,
        "seconds": 60.0 * number,
        "density": {"all": {"w": 1.0}},
        "overlap": {"pathways": ["all"], "matrix": [[1.0]]},
        "union_density": 1.0,
        "commit": f"commit {number}",
        "host": {"cpu": "A CPU", "cores": 2},
        "versions": {"torch": "2.11.0", "speechbrain": "1.1.2"},
    }
    row = {
        "digest": run.trial.digest,
        "config": run.trial.config,
        "status": "done",
        "result": {**result, **(said or {})},
    }
    Ledger(site.root).record({**row, **changes})


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path)


@pytest.fixture
def cells(site):
    return make_plan(make_suite(), site)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """All runs finished: start 0, dense 1, lap 2, 3, lsp 4, 5, fixed 6, 7."""
    site = make_site(tmp_path_factory.mktemp("finished"))
    cells = make_plan(make_suite(), site)
    for number, run in enumerate(all_runs(cells)):
        finish(site, run, number)
    return collect(make_suite(), "name: small\n", cells, site.root)


def row_of(kept, method):
    (row, *_) = [x for x in kept.rows if x["method"] == method]
    return row


def test_a_row_for_every_cell(kept, cells):
    assert [(x["method"], x["sparsity"]) for x in kept.rows] == [
        (x.method, x.sparsity) for x in cells
    ]
    assert (kept.name, kept.suite) == ("small", "name: small\n")
    assert kept.languages == ["en", "ru"]


def test_the_numbers_of_one_run(kept):
    row = row_of(kept, "dense")
    assert (row["mean_cer"], row["cer_en"], row["mean_wer"]) == (11, 11, 21)
    assert (row["wer_en"], row["wer_ru"]) == (21, 21)
    assert (row["steps"], row["total_steps"]) == (60, 60)
    assert (row["flops"], row["minutes"]) == (101.0, 1.0)
    assert (row["commit"], row["cpu"], row["cores"]) == (
        "commit 0, commit 1",
        "A CPU",
        2,
    )


def test_a_dense_start_takes_no_further_steps(kept):
    row = row_of(kept, "start")
    assert (row["steps"], row["total_steps"]) == (10, 0)
    assert (row["start_steps"], row["flops"]) == (10, 100.0)
    assert row["commit"] == "commit 0"


def test_runs_per_language_are_one_row(kept):
    row = row_of(kept, "lsp")
    assert (row["cer_en"], row["cer_ru"], row["mean_cer"]) == (14, 15, 14.5)
    assert (row["steps"], row["total_steps"]) == (15, 30)
    assert (row["flops"], row["minutes"]) == (209.0, 9.0)
    # One weight of three in common, one kept by nobody.
    assert row["overlap_en_ru"] == pytest.approx(1 / 3)
    assert row["union_density"] == 0.75
    assert kept.density["lsp|0.8|1"] == {"en": {"w": 0.5}, "ru": {"w": 0.5}}
    assert kept.overlap["lsp|0.8|1"]["pathways"] == ["en", "ru"]


def test_runs_that_find_masks_are_counted(kept):
    row = row_of(kept, "fixed")
    assert row["total_steps"] == 60 + 2 * 15
    assert row["flops"] == 104.0 + 105.0 + 106.0
    assert row["minutes"] == 4.0 + 5.0 + 6.0
    assert (row["mean_cer"], row["steps"]) == (16.0, 60)


def test_a_row_keeps_the_commits_of_all_its_runs(kept):
    # The start's, those of the masks of both languages, its own.
    assert row_of(kept, "fixed")["commit"] == (
        "commit 0, commit 4, commit 5, commit 6"
    )
    assert row_of(kept, "lsp")["commit"] == "commit 0, commit 4, commit 5"


@pytest.mark.parametrize(
    "said, message",
    [
        ({"steps": 61}, r"`steps` 60, as planned, got 61"),
        ({"sparsity": 0.5}, r"of lap\|0.8\|1 must .*`sparsity` 0.8.* got 0.5"),
        ({"seed": 2}, r"`seed` 1, as planned, got 2"),
        ({"steps": None}, r"`steps` 60, as planned, got None"),
    ],
)
def test_runs_that_were_not_as_planned_are_refused(site, cells, said, message):
    (cell,) = [x for x in cells if (x.method, x.sparsity) == ("lap", 0.8)]
    finish(site, cells[0].runs["all"], 0)
    finish(site, cell.runs["all"], 1, said)
    with pytest.raises(UserError, match=message):
        collect(make_suite(), "", cells, site.root)


def test_whole_weights_are_as_near_as_they_can_be(site, cells):
    finish(site, cells[0].runs["all"], 0)
    finish(site, cells[1].runs["all"], 1, {"sparsity": 0.0004})
    kept = collect(make_suite(), "", cells, site.root)
    assert [x["method"] for x in kept.rows] == ["start", "dense"]


def test_a_row_from_scratch_has_no_start(site):
    suite = make_suite([Method("raw", "lap", [0.5], from_scratch=True)])
    cells = make_plan(suite, site)
    finish(site, cells[0].runs["all"], 0)
    (row,) = collect(suite, "", cells, site.root).rows
    assert (row["start_steps"], row["total_steps"]) == (0, 60)
    assert row["commit"] == "commit 0"


def test_seeds_are_found_that_no_suite_names(site):
    assert seeds_in(site.root) == []
    for seed in (4, 2):
        cells = make_plan(make_suite(seeds=[seed]), site)
        finish(site, cells[0].runs["all"], 0)
    cells = make_plan(make_suite(seeds=[7]), site)
    finish(site, cells[0].runs["all"], 0, status="failed")
    assert seeds_in(site.root) == [2, 4]


def test_related_languages_are_kept(site, cells, tmp_path):
    suite = make_suite(related=[(("en", "ru"), ("ru", "en"))])
    kept = collect(suite, "", cells, site.root)
    assert kept.related == [[["en", "ru"], ["ru", "en"]]]
    again = read_kept(write_kept(kept, tmp_path))
    assert again.related == kept.related


def test_utterances_are_in_one_order(kept):
    utterances = kept.utterances
    assert utterances["ids"] == {"en": ["en-1", "en-2"], "ru": ["ru-1"]}
    assert utterances["characters"] == {"en": [12, 8], "ru": [10]}
    assert utterances["edits"]["lsp|0.8|1"] == {"en": [1, 1], "ru": [1]}
    assert len(utterances["edits"]) == len(kept.rows)


def test_kept_results_survive_being_written(kept, tmp_path):
    again = read_kept(write_kept(kept, tmp_path))
    columns = {name for row in kept.rows for name in row}
    assert again.rows == [{x: r.get(x) for x in columns} for r in kept.rows]
    assert again.utterances == kept.utterances


def test_what_has_not_ended_well_is_left_out(site, cells):
    runs = all_runs(cells)
    for number, run in enumerate(runs):
        if run not in cells[4].runs.values():
            finish(site, run, number)
    russian = cells[4].runs["ru"]
    finish(site, russian, 5, status="failed")
    kept = collect(make_suite(), "", cells, site.root)
    # The masks of fixed came from a run that has failed since.
    methods = {x["method"] for x in kept.rows}
    assert methods == {"start", "dense", "lap", "of_lap"}


def test_a_run_without_utterances_has_a_row_all_the_same(site, cells):
    run = cells[0].runs["all"]
    finish(site, run, 0)
    (run.folder / "utterances.json").unlink()
    kept = collect(make_suite(), "", cells, site.root)
    assert [x["method"] for x in kept.rows] == ["start"]
    assert kept.utterances["edits"] == {}


def test_other_utterances_are_refused(site, cells):
    for number, run in enumerate(all_runs(cells)):
        finish(site, run, number)
    other = {"en": {"en-1": [0, 12], "en-2": [0, 9]}, "ru": {"ru-1": [0, 10]}}
    file = cells[1].runs["all"].folder / "utterances.json"
    file.write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"others of 'en' in dense\|0\|1"):
        collect(make_suite(), "", cells, site.root)
