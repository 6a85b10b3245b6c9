"""SpeechBrain's checkers on our recipes: what needs other arguments there.

Run by run_host_tests.sh in a copy of this repository, with SpeechBrain's
tests on the path. Its test_recipe.py and test_yaml.py run beside this file as
they are, but for `test_recipe_list`, which is called here.
"""

import csv
import inspect
from pathlib import Path

import pytest
from tests.consistency import test_recipe
from tests.utils.check_docstrings import check_docstrings
from tests.utils.recipe_tests import run_recipe_tests

# No entry files: included by one, read by demo.py or compare.py.
PARTS = ["/hparams/model.yaml", "/hparams/demo.yaml", "/suites/"]


def rows():
    """Every line of our index."""
    for path in sorted(Path("tests/recipes").glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream, skipinitialspace=True)


def tail(path, count=2000):
    """The end of a file, for the report of a failure."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return f"--- {path.name}\n{text[-count:]}"


def test_every_entry_file_is_listed():
    """With the files left out that SpeechBrain's own list cannot know."""
    usual = inspect.signature(test_recipe.test_recipe_list)
    avoid = usual.parameters["avoid_list"].default
    test_recipe.test_recipe_list(avoid_list=[*avoid, *PARTS])


@pytest.mark.parametrize("folder", ["plugins", "recipes"])
def test_docstrings(folder):
    """Every module, class and function has one."""
    assert list(Path(folder).rglob("*.py"))
    # Its filter takes any path with that word in it, ours of tests too.
    assert check_docstrings(folder, [folder])


@pytest.mark.parametrize("hparams", [row["Hparam_file"] for row in rows()])
def test_recipe_trains(hparams, tmp_path):
    """One line of the index, with its debug flags and its checks."""
    passed = run_recipe_tests(
        output_folder=f"{tmp_path}/",
        filters_fields=["Hparam_file"],
        filters=[hparams],
        run_opts="--device=cpu",
        do_checks=True,
    )
    logs = sorted(tmp_path.glob("*/std*.txt"))
    assert passed, "\n".join(map(tail, logs))
