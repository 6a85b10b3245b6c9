"""What voids trials and targets of a workload, and what does not."""

import shutil

import pytest

from leanbrain.files import read_json
from leanbrain.optbench.suite import digests
from leanbrain.optbench.suite.file import load_suite
from leanbrain.optbench.suite.stages import Stages, run_benchmark
from leanbrain.optbench.suite.workload_file import read_workload

YAML = """# What it is.
total_steps: 10 # of the schedule
eval_every_steps: 5
metric: error
activation: layers.Square
data: !new:batches.Batches
    folder: null
"""
FILES = {
    "hparams/net.yaml": YAML,
    "hparams/sizes.yaml": "width: 3\n",
    "batches.py": '"""Batches."""\n\nfrom reading import rows\n',
    "reading.py": "rows = 3  # of the table\n",
    "layers.py": "class Square:\n    power = 2\n",
    "other.py": "import batches\n",
    "train.py": "import batches\n",
}


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "hparams").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def changed(recipe, name, old, new):
    """Whether a change makes it another workload."""
    before = read_workload(recipe / "hparams/net.yaml").digest
    file = recipe / name
    text = file.read_text() if file.is_file() else ""
    assert old in text
    file.write_text(text.replace(old, new) if old else new)
    return read_workload(recipe / "hparams/net.yaml").digest != before


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("hparams/net.yaml", "total_steps: 10", "total_steps: 11"),
        ("hparams/net.yaml", "null", "here"),
        ("hparams/net.yaml", "folder", "place"),
        ("batches.py", "rows", "lines"),
        ("reading.py", "rows = 3", "rows = 4"),
        ("layers.py", "power = 2", "power = 3"),
    ],
)
def test_what_it_uses_counts(recipe, name, old, new):
    assert changed(recipe, name, old, new)


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("hparams/net.yaml", "# What it is.\n", ""),
        ("hparams/net.yaml", "  folder: null", "  folder:   null # none"),
        ("hparams/new.yaml", "", YAML),
        ("hparams/sizes.yaml", "3", "4"),
        ("batches.py", "Batches.", "Batches of the table."),
        ("reading.py", "of the table", "of both tables"),
        ("other.py", "import batches", "import layers"),
        ("train.py", "import batches", "import layers"),
        ("new.py", "", "x = 1\n"),
    ],
)
def test_nothing_else_does(recipe, name, old, new):
    assert not changed(recipe, name, old, new)


def test_included_files_and_their_modules_count(recipe):
    with (recipe / "hparams/net.yaml").open("a") as file:
        file.write("sizes: !include:sizes.yaml\n")
    assert changed(recipe, "hparams/sizes.yaml", "3", "!new:other.Width")
    assert changed(recipe, "other.py", "import batches", "import layers")


def test_code_of_trials_counts_without_its_docstrings(tmp_path, monkeypatch):
    package = tmp_path / "optbench"
    for folder in ("optimizers", "trials", "suite"):
        (package / folder).mkdir(parents=True)
    file = package / "trials" / "trial.py"
    monkeypatch.setattr(digests, "__file__", str(package / "suite" / "x.py"))
    found = []
    for text in ('"""Old."""\nx = 1\n', '"""New."""\nx = 1\n', "x = 2\n"):
        file.write_text(text)
        found.append(digests.code_digest.__wrapped__())
    assert found[0] == found[1] != found[2]


class Started(Exception):
    """The benchmark has got past its targets."""


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_the_shipped_suite_starts(repo_root, tmp_path, kind, monkeypatch):
    """Its targets are those of the workloads as they are now."""
    folder = repo_root / "recipes" / "OptimizerBenchmark"
    targets = read_json(folder / "targets" / f"cpu_{kind}.json")
    file = load_suite(folder / "suites" / "cpu.yaml")
    data = {entry["data"] for entry in targets.values()}
    monkeypatch.setattr(
        type(file.suite), "data_of", lambda *_: data.copy().pop()
    )

    def start(*_):
        raise Started

    monkeypatch.setattr(Stages, "run", start)
    with pytest.raises(Started):
        run_benchmark(Stages(file.suite, tmp_path), targets)


def test_adding_a_workload_voids_no_target(repo_root, tmp_path):
    source = repo_root / "recipes" / "OptimizerBenchmark" / "CPU"
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(source, tmp_path / "CPU", ignore=ignored)
    files = sorted((source / "hparams").glob("*.yaml"))
    assert len(files) == 3
    added = copy / "hparams" / "added.yaml"
    added.write_text(files[0].read_text())
    for file in files:
        again = read_workload(copy / "hparams" / file.name)
        assert again.digest == read_workload(file).digest
