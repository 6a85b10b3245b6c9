"""The tables of recipe families and pages tell what happened, failures too."""

from types import SimpleNamespace

import pytest

from leanbrain.checks import UserError
from leanbrain.files import read_json

DONE = (
    "leanbrain: Step 6 of 6: removed of 43,438 weights in 16 targets: "
    "all 50.00%; masks are final.\n"
)


@pytest.fixture
def tries(script):
    return script("try_families")


@pytest.mark.parametrize(
    ("output", "code", "ran", "cells"),
    [
        (
            f"log\n{DONE}later\n",
            0,
            True,
            ["16", "43,438", "0", "6 of 6", "50.00%, final", "ran, 3 s"],
        ),
        (
            "Traceback\nKeyError: 'a|b'\nbye\n",
            1,
            False,
            ["-", "-", "0", "-", "-", "failed: KeyError: 'a/b'"],
        ),
        (f"{DONE}error: worse\n", 2, False, ["failed: error: worse"]),
        ("", 0, False, ["failed: ?"]),  # nothing was pruned
    ],
)
def test_rows(tries, output, code, ran, cells):
    tried = tries.Tried(tries.FAMILIES[0], output, code, 3.0)
    assert tried.ran is ran
    row = list(tried.row().values())
    assert row[0] == "CRDNN seq2seq"
    assert row[1].startswith("`recipes/TIMIT/ASR/seq2seq/")
    assert row[-len(cells) :] == cells


def test_families_are_told_apart(tries):
    names = [family.name for family in tries.FAMILIES]
    assert len(set(names)) == len(names) == 11


def test_words_that_no_name_contains_are_named(script, tmp_path):
    options = SimpleNamespace(names=["crdnn"], json=tmp_path / "x.json")
    with pytest.raises(UserError, match="one of the given words, got crdnn"):
        script("kept_table").keep(options, "families", [], tmp_path)


@pytest.mark.parametrize("name", ["try_families", "check_pages"])
def test_missing_clone_is_one_sentence(script, name, monkeypatch):
    main = script(name).main
    monkeypatch.delenv("SPEECHBRAIN_REPO", raising=False)
    with pytest.raises(UserError, match="`SPEECHBRAIN_REPO` must be a clone"):
        main([])
    with pytest.raises(UserError, match="must have `--json` with the other"):
        main(["CRDNN", "--markdown", "a.md"])
    with pytest.raises(UserError, match="a.json does not exist"):
        main(["CRDNN", "--json", "a.json"])


def test_what_was_found_is_kept_and_fills_in_the_page(
    tries, script, tmp_path, monkeypatch
):
    (tmp_path / "recipes").mkdir()
    monkeypatch.setenv("SPEECHBRAIN_REPO", str(tmp_path))
    monkeypatch.setattr(tries, "prepare", lambda *_: None)
    codes = iter([0] * len(tries.FAMILIES) + [1])
    monkeypatch.setattr(
        tries,
        "attempt",
        lambda family, *_: tries.Tried(family, DONE, next(codes), 3.0),
    )
    kept, page = tmp_path / "kept.json", tmp_path / "page.md"
    page.write_text("a\n<!-- families -->\nold\n<!-- end -->\nz\n")
    where = ["--json", str(kept), "--markdown", str(page)]
    assert tries.main(where) == 0
    text = page.read_text()
    assert text.startswith("a\n<!-- families -->\n| family | recipe | targets ")
    assert text.count("ran, 3 s") == len(tries.FAMILIES) and "old" not in text
    assert text.endswith(".\n<!-- end -->\nz\n")
    assert script("kept_table").table(read_json(kept)) in text
    # One of them again: the others stay.
    assert tries.main(["ECAPA", *where]) == 1
    text = page.read_text()
    assert text.count("ran, 3 s") == len(tries.FAMILIES) - 1
    assert "| ECAPA-TDNN |" in text.splitlines()[-5]
    assert "failed: leanbrain: Step 6" in text.splitlines()[-5]


@pytest.mark.parametrize("mark", ["families", "pages"])
def test_the_page_shows_what_was_kept(script, repo_root, mark):
    kept = read_json(repo_root / "tests" / "host" / "results" / f"{mark}.json")
    page = repo_root / "docs" / "prune_your_recipe" / "README.md"
    text = f"<!-- {mark} -->\n{script('kept_table').table(kept)}\n<!-- end -->"
    assert text in page.read_text(encoding="utf-8"), "run kept_table.py"
