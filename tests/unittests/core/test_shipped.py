"""LeanBrain's own YAML files by short names, from everywhere."""

from collections import Counter

import pytest

import leanbrain
from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import load_optimizer
from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.pruning.methods import load_method
from leanbrain.shipped import find_yaml, hparams_folder, named_files


def test_every_file_has_a_name_of_its_own(repo_root):
    files = sorted((repo_root / "hparams").glob("*/*.yaml"))
    kinds = {path.parent.name for path in files}
    found = [(k, n, f) for k in kinds for n, f in named_files(k).items()]
    assert sorted(file for _, _, file in found) == files
    # `leanbrain hparams` takes a name without its kind.
    assert max(Counter(name for _, name, _ in found).values()) == 1
    for kind, name, file in found:
        assert find_yaml(kind, name) == file


@pytest.mark.parametrize(
    "path", ["lap.yaml", "mine/lap", "./lap", "/a/lap.yml", "no/such.yaml"]
)
def test_a_path_is_taken_as_it_is(path):
    assert str(find_yaml("pruning", path)) == path.removeprefix("./")


def test_names_of_another_folder(tmp_path):
    (tmp_path / "mine.yaml").write_text("")
    assert find_yaml("pruning", "mine", tmp_path) == tmp_path / "mine.yaml"
    with pytest.raises(UserError, match="must be one of mine; got 'lap'"):
        find_yaml("pruning", "lap", tmp_path)


def test_whoever_loads_takes_names_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_optimizer("lion").name == "lion"
    assert load_rules("cpu").tuning == "external"
    given = {"total_steps": 9, "pathways": ["all"]}
    assert load_method("lap", **given)["pruner"].plan.total_steps == 9
    for load, near in (
        (load_optimizer, "lion"),
        (load_rules, "cpu"),
        (load_method, "lap"),
    ):
        with pytest.raises(UserError, match=rf"nearest: .*\b{near}\b"):
            load(f"{near}x")


def test_a_package_without_the_files_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(leanbrain, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(UserError, match="must hold the folder hparams/pruning"):
        hparams_folder("pruning")
