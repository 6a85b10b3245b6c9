"""Files per pathway: what is evaluated, whole, and of stock torch alone."""

import json

import pytest
import small_run
import torch

from leanbrain.checks import UserError
from leanbrain.export import export_pathways, pathway_files
from leanbrain.export.run_folder import choose_checkpoint


def export(run, output=None, pathways=None):
    chosen = choose_checkpoint(run.folder)
    return export_pathways(chosen, output or run.folder / "out", pathways)


def files(folder):
    return {x.name for x in folder.iterdir()}


def test_files_are_what_each_pathway_is_evaluated_with(run):
    folders = export(run)
    assert list(folders) == ["en", "fr"]
    for pathway, folder in folders.items():
        names = {"model.ckpt", "decoder.ckpt", "normalizer.ckpt"}
        assert files(folder) == {*names, "pathway.json"}
        for name, wanted in run.shown(pathway).items():
            found = torch.load(folder / f"{name}.ckpt", weights_only=True)
            assert list(found) == list(wanted)
            assert all(torch.equal(found[k], wanted[k]) for k in wanted)
    one, other = (run.shown(x)["decoder"]["weight"] for x in folders)
    assert not torch.equal(one, other)


def test_they_load_into_stock_modules_strictly(run):
    folder = export(run)["fr"]
    fresh = torch.nn.ModuleList([small_run.Network(), torch.nn.BatchNorm1d(4)])
    state = torch.load(folder / "model.ckpt", weights_only=True)
    # torch itself tells versions of layers by what it notes beside entries.
    original = next((run.folder / "save").glob("CKPT*/model.ckpt"))
    noted = torch.load(original, weights_only=True)._metadata
    assert state._metadata == noted and noted
    assert fresh.load_state_dict(state, strict=True)
    assert torch.equal(fresh[0]["tied"].weight, fresh[0]["first"].weight)
    first, tied = state["0.first.weight"], state["0.tied.weight"]
    assert first.data_ptr() == tied.data_ptr()


def test_a_single_pathway_needs_no_name(tmp_path):
    run = small_run.SmallRun(tmp_path, pathways=("all",))
    run.save()
    (folder,) = export(run).values()
    assert folder.name == "all"
    weight = torch.load(folder / "decoder.ckpt", weights_only=True)["weight"]
    assert torch.equal(weight, run.decoder.weight)


def test_facts_say_where_a_file_comes_from(run):
    folder = export(run)["en"]
    facts = json.loads((folder / "pathway.json").read_text())
    masks = run.pruner.masks
    assert facts["checkpoint"].startswith("CKPT+")
    assert (facts["step"], facts["masks_final"]) == (1, True)
    assert facts["kept_weights"] == masks.count("en")
    assert facts["target_weights"] == masks.numel() == 18 + 18 + 24


def test_a_second_export_replaces_the_first_and_nothing_else(run):
    export(run)
    with torch.no_grad():
        run.decoder.weight.mul_(2.0)
    run.save()
    before = run.shown("fr")["decoder"]["weight"] / 2.0
    folders = export(run, pathways=["en"])
    assert list(folders) == ["en"]
    out = run.folder / "out"
    now = torch.load(out / "en" / "decoder.ckpt", weights_only=True)["weight"]
    assert torch.equal(now, run.shown("en")["decoder"]["weight"])
    kept = torch.load(out / "fr" / "decoder.ckpt", weights_only=True)["weight"]
    assert torch.equal(kept, before)
    assert files(out) == {"en", "fr"}


def test_a_folder_of_something_else_is_in_the_way(run, tmp_path):
    (tmp_path / "fr").mkdir()
    (tmp_path / "fr" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="got .*fr without pathway.json"):
        export(run, tmp_path)
    assert files(tmp_path) == {"fr", "run"}
    assert files(tmp_path / "fr") == {"notes.txt"}


def test_what_fails_half_way_leaves_the_old_files(run, monkeypatch):
    out = run.folder / "out"
    export(run)
    old = {x: x.read_bytes() for x in out.rglob("*.*")}
    write = pathway_files.write_tensors

    def fails(path, obj):
        if path.name == "decoder.ckpt" and "fr" in path.parent.name:
            raise UserError("The disk is full.")
        write(path, obj)

    monkeypatch.setattr(pathway_files, "write_tensors", fails)
    with torch.no_grad():
        run.decoder.weight.mul_(2.0)
    run.save()
    with pytest.raises(UserError, match="disk is full"):
        export(run)
    assert {x: x.read_bytes() for x in out.rglob("*.*")} == old


@pytest.mark.parametrize("name", ["a/b", "..", ".", "../x", "1", "日本", "a b"])
def test_names_of_pathways_are_names_of_folders(tmp_path, name):
    run = small_run.SmallRun(tmp_path / "run", pathways=(name, "en"))
    run.save()
    out = tmp_path / "out"
    folder = export(run, out)[name]
    assert folder.parent == out and folder.resolve().parent == out.resolve()
    assert (folder / "decoder.ckpt").is_file()
    assert len(files(out)) == 2


def test_what_does_not_fit_is_one_sentence(run):
    with pytest.raises(UserError, match=r"`pathway` .* got 'enn' .nearest: en"):
        export(run, pathways=["enn"])
    (model,) = (run.folder / "save").glob("CKPT*/model.ckpt")
    whole = model.read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated, damaged"):
        export(run)
    torch.save({"0.first.weight": torch.ones(2, 2)}, model)
    with pytest.raises(UserError, match=r"shape \[6, 3\].* got \[2, 2\]"):
        export(run)
    torch.save({"other": torch.ones(1)}, model)
    with pytest.raises(
        UserError, match="must hold '0.first.weight' .*got none"
    ):
        export(run)
    model.unlink()
    with pytest.raises(UserError, match="model.ckpt does not exist"):
        export(run)
    assert not (run.folder / "out").exists()


class Hostile:
    def __reduce__(self):
        return (eval, ("1 / 0",))


def test_no_file_can_run_code(run):
    (model,) = (run.folder / "save").glob("CKPT*/model.ckpt")
    torch.save({"0.first.weight": Hostile()}, model)
    with pytest.raises(UserError, match="could run code"):
        export(run)


def test_weights_that_no_file_holds_are_named(tmp_path):
    run = small_run.SmallRun(tmp_path, modules={"m": torch.nn.Linear(2, 2)})
    run.save()
    with pytest.raises(UserError, match="without 'enc.first.weight'"):
        export(run)
