"""`leanbrain hparams`: where the YAML files are, and copies of them."""

import pytest

from leanbrain.__main__ import main
from leanbrain.hyperyaml import load_yaml


def lines(capsys, *words):
    assert main(["hparams", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_it_prints_folder_names_and_files(repo_root, capsys):
    folder = repo_root / "hparams"
    assert lines(capsys) == [str(folder)]
    listed = dict(x.split(": ") for x in lines(capsys, "--list"))
    assert set(listed) == {"features", "optimizers", "pruning", "rules"}
    assert "lion" in listed["optimizers"].split(", ")
    files = [folder / "pruning/lap.yaml", folder / "features/nmf.yaml"]
    assert lines(capsys, "lap", "nmf") == [str(x) for x in files]


def test_a_recipe_includes_a_copy(repo_root, tmp_path, capsys):
    there = tmp_path / "hparams" / "pruning"
    names = ["adaptive_mono.yaml", "adaptive.yaml"]  # includes the second
    for _ in range(2):  # again: they are there already
        told = lines(capsys, "adaptive_mono", "--copy", str(there))
        assert told == [str(there / name) for name in names]
    for name in names:
        own = repo_root / "hparams" / "pruning" / name
        assert (there / name).read_bytes() == own.read_bytes()
    recipe = tmp_path / "hparams" / "train.yaml"
    recipe.write_text(
        "pruning: !include:pruning/adaptive_mono.yaml\n"
        "    total_steps: 100\n    pathways: [en]\n"
        "pruner: !ref <pruning[pruner]>\n"
    )
    with recipe.open() as stream:
        assert load_yaml(stream)["pruner"].plan.total_steps == 100


def test_another_file_in_the_way_stays_and_nothing_is_copied(tmp_path, capsys):
    (tmp_path / "adaptive.yaml").write_text("mine: 1\n")
    with pytest.raises(SystemExit, match="2"):
        main(["hparams", "adaptive_mono", "--copy", str(tmp_path)])
    assert "must not replace another file, got " in capsys.readouterr().err
    assert [x.name for x in tmp_path.iterdir()] == ["adaptive.yaml"]
    assert (tmp_path / "adaptive.yaml").read_text() == "mine: 1\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lapp"], "got 'lapp' (nearest: lap"),
        (["--copy", "x"], "`--copy` must come with names"),
        (["lap", "--from", "x"], "unrecognized arguments: --from x"),
    ],
)
def test_wrong_words_are_one_sentence(capsys, words, sentence):
    with pytest.raises(SystemExit, match="2"):
        main(["hparams", *words])
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert sentence in error
