"""`leanbrain export-pathways` on the folder of a run."""

import sys
from pathlib import Path

import pytest

from leanbrain.__main__ import main

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
import small_run


@pytest.fixture
def run(tmp_path):
    made = small_run.SmallRun(tmp_path / "run")
    for wer in (5.0, 6.0):
        made.save(WER=wer)
    return made.folder


def told(capsys, *words):
    assert main(["export-pathways", *map(str, words)]) == 0
    return capsys.readouterr().out.splitlines()


def test_it_says_which_checkpoint_and_where_the_files_are(run, capsys):
    first, *folders = told(capsys, run)
    assert ": step 2, the newest of 2 checkpoints with final masks" in first
    out = run / "pathways"
    assert folders == [f"en: {out / 'en'}", f"fr: {out / 'fr'}"]
    first, *folders = told(capsys, run, "--pathway", "fr", "--min_key", "WER")
    assert ": step 1, the one with the lowest WER (5) of 2" in first
    assert folders == [f"fr: {out / 'fr'}"]


def test_folders_where_the_user_wants_them(run, tmp_path, capsys):
    (_, line) = told(capsys, run, "--pathway", "en", "--output", tmp_path / "x")
    assert line == f"en: {tmp_path / 'x' / 'en'}"
    # Not inside of a checkpoint, which a run deletes.
    checkpoint = next((run / "save").glob("CKPT*"))
    (_, line) = told(capsys, checkpoint, "--pathway", "en")
    assert line == f"en: {run / 'save' / 'pathways' / 'en'}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "required: run"),
        (["{run}/none"], "The run must be a folder, got"),
        (["{run}", "--pathway", "de"], "`pathway` must be one of en, fr; got"),
        (["{run}", "--min_key", "CER"], "`min_key` must be one of WER"),
        (["{run}", "--min_key", "a", "--max_key", "b"], "got both"),
        (["{run}", "--output", "{run}/save/a.txt"], "cannot be written"),
        (["{run}", "--pathways", "en"], "unrecognized arguments"),
    ],
)
def test_wrong_words_are_one_sentence(run, capsys, words, sentence):
    (run / "save" / "a.txt").write_text("a file")
    with pytest.raises(SystemExit, match="2"):
        main(["export-pathways", *(x.format(run=run) for x in words)])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and sentence in error
