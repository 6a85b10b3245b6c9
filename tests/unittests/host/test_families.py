"""The table of recipe families tells what happened, also when it failed."""

import pytest

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
            "| 16 | 43,438 | 0 | 6 of 6 | 50.00%, final | ran, 3 s |",
        ),
        (
            "Traceback\nKeyError: 'a|b'\nbye\n",
            1,
            False,
            "| - | - | 0 | - | - | failed: KeyError: 'a/b' |",
        ),
        (f"{DONE}error: worse\n", 2, False, "failed: error: worse |"),
        ("", 0, False, "failed: ? |"),  # nothing was pruned
    ],
)
def test_rows(tries, output, code, ran, cells):
    tried = tries.Tried(tries.FAMILIES[0], output, code, 3.0)
    assert tried.ran is ran
    row = tried.row()
    assert row.startswith("| CRDNN seq2seq | `recipes/TIMIT/ASR/seq2seq/")
    assert row.endswith(cells)
    assert row.count("|") == tries.HEAD.splitlines()[0].count("|")


def test_families_are_told_apart(tries):
    names = [family.name for family in tries.FAMILIES]
    assert len(set(names)) == len(names) == 11


def test_missing_clone_is_one_sentence(tries, monkeypatch, capsys):
    monkeypatch.delenv("SPEECHBRAIN_REPO", raising=False)
    assert tries.main([]) == 2
    assert "SPEECHBRAIN_REPO must be a clone" in capsys.readouterr().err
