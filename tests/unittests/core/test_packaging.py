"""What is installed, the commands of the Makefile and the pinned tools."""

import os
import re
import shutil
import subprocess
import zipfile

import pytest
import yaml

import leanbrain

TARGETS = [
    "help",
    "venv",
    "demo",
    "board",
    "test",
    "commands",
    "unit",
    "check",
    "lint",
    "types",
    "doctest",
    "format",
    "bench",
    "bench-nmf",
    "bench-optimizers",
    "host-tests",
    "slurm",
    "clean",
]

# Stands for a Python: makes a .venv whose python prints what it was asked.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  --version) echo "Python {version}";;
  *"version_info < (3, 10)"*) exit {too_old};;
  *ensurepip*) exit {no_venv};;
  "-m venv"*) mkdir -p .venv/bin
    printf '#!/bin/sh\\nIFS=,\\necho "$*" >> calls\\n' > .venv/bin/python
    chmod +x .venv/bin/python;;
esac
"""

INSTALL = "-m,pip,install,--disable-pip-version-check,-e,.[demo,dev]"


@pytest.fixture(scope="module")
def wheel(wheel_file):
    """The built wheel, opened."""
    return zipfile.ZipFile(wheel_file)


def test_wheel_holds_only_the_package(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    info = f"leanbrain-{leanbrain.__version__}.dist-info"
    assert tops == {"leanbrain", info}


def test_wheel_holds_every_module_and_yaml_file_and_no_other(wheel, repo_root):
    plugins = repo_root / "plugins"
    wanted = {
        path.relative_to(plugins).as_posix()
        for path in (plugins / "leanbrain").rglob("*.py")
    }
    wanted.add("leanbrain/py.typed")
    wanted |= {
        f"leanbrain/{path.relative_to(repo_root).as_posix()}"
        for path in (repo_root / "hparams").rglob("*.yaml")
    }
    found = {x for x in wheel.namelist() if x.startswith("leanbrain/")}
    assert found == wanted


def read_metadata(wheel):
    """The text of the wheel's metadata."""
    (name,) = [x for x in wheel.namelist() if x.endswith("METADATA")]
    return wheel.read(name).decode()


def test_metadata_says_what_it_is(wheel, repo_root):
    head, _, text = read_metadata(wheel).partition("\n\n")
    assert text.strip() == (repo_root / "README.md").read_text().strip()
    for line in (
        "Summary: Pruned models, an optimizer benchmark and NMF features",
        "Description-Content-Type: text/markdown",
        "Keywords: speechbrain,",
        "License-File: LICENSE",
        "Requires-Python: >=3.10",
    ):
        assert f"\n{line}" in head, line
    extras = re.findall(r"^Provides-Extra: (\w+)", head, re.M)
    assert set(extras) == {
        *("bench", "cluster", "demo", "dev", "optimizers", "whisper")
    }


def test_no_symbolic_link_but_that_of_the_yaml_files(repo_root):
    """Whoever copies the repository without links is told by one sentence."""
    links = [x for x in (repo_root / "plugins").rglob("*") if x.is_symlink()]
    assert links == [repo_root / "plugins" / "leanbrain" / "hparams"]
    assert links[0].resolve() == repo_root / "hparams"


def read_requirements(wheel):
    """Maps each required package to its version ranges and extras."""
    lines = read_metadata(wheel).splitlines()
    pattern = r'Requires-Dist: ([\w-]+)([^;]*)(?:; extra == "(\w+)")?'
    found = [re.fullmatch(pattern, x) for x in lines]
    required = {}
    for x in found:
        if x:
            required.setdefault(x[1].lower(), []).append((x[2].strip(), x[3]))
    return required


def test_torch_and_torchaudio_have_one_range_up_to_its_last_that_loads(wheel):
    required = read_requirements(wheel)
    for package, top in (("torch", "<2.12"), ("torchaudio", "<=2.11.0")):
        ((limits, extra),) = required[package]
        assert set(limits.split(",")) == {">=2.7.1", top}
        assert extra is None


def test_gpl_package_is_in_the_demo_extra_only(wheel):
    ((_, extra),) = read_requirements(wheel)["espeakng-loader"]
    assert extra == "demo"


@pytest.mark.parametrize("tool", ["ruff", "yamllint", "codespell"])
def test_commit_hooks_have_the_pinned_versions(wheel, repo_root, tool):
    ((limits, extra),) = read_requirements(wheel)[tool]
    config = (repo_root / ".pre-commit-config.yaml").read_text()
    repos = yaml.safe_load(config)["repos"]
    (rev,) = [x["rev"] for x in repos if f"/{tool}" in x["repo"]]
    assert extra == "dev"
    assert limits == f"=={rev.removeprefix('v')}"


# --------------------------------------------------------------- Makefile

needs_make = pytest.mark.skipif(
    shutil.which("make") is None, reason="make is not installed"
)


def make(folder, *arguments):
    """Runs make; settings of this process do not leak into it."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MAKEFLAGS", "MAKELEVEL", "DATA", "RESULTS"}
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=keep,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def checkout(repo_root, tmp_path):
    """A checkout without .venv, and pythons that only note what is asked."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "setup.py"):
        shutil.copy(repo_root / name, folder)
    pythons = {
        "python-good": {"version": "3.12.1", "too_old": 0, "no_venv": 0},
        "python-old": {"version": "3.9.2", "too_old": 1, "no_venv": 0},
        "python-bare": {"version": "3.12.1", "too_old": 0, "no_venv": 1},
    }
    for name, facts in pythons.items():
        path = folder / name
        path.write_text(FAKE_PYTHON.format(**facts))
        path.chmod(0o755)
    return folder


def read_calls(folder):
    """What .venv's python was asked since the last look."""
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [x for x in lines if x != "-m,pip,--version"]


@needs_make
def test_make_alone_lists_every_target_and_installs_nothing(checkout):
    done = make(checkout, "PYTHON=./python-good")
    assert done.returncode == 0
    assert re.findall(r"^  ([\w-]+) ", done.stdout, re.M) == TARGETS
    assert not (checkout / ".venv").exists()


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_parses(repo_root, target):
    done = make(repo_root, "-n", target)
    assert done.returncode == 0, done.stderr


@needs_make
def test_demo_installs_once_and_passes_the_settings(checkout):
    demo = "recipes/MultilingualPrompts/ASR/CTC/demo.py,--results_folder"
    assert make(checkout, "PYTHON=./python-good", "demo").returncode == 0
    assert read_calls(checkout) == [INSTALL, f"{demo},results/demo"]
    make(checkout, "PYTHON=./python-good", "demo", "DATA=a b", "RESULTS=r s")
    assert read_calls(checkout) == [f"{demo},r s,--data_folder,a b"]
    later = (checkout / ".venv" / ".stamp").stat().st_mtime + 10
    os.utime(checkout / "setup.py", (later, later))
    # The interpreter of an existing .venv counts, not the default one.
    make(checkout, "PYTHON=./python-old", "demo")
    assert read_calls(checkout)[0] == INSTALL


@needs_make
def test_check_runs_lint_types_doctests_and_tests(checkout):
    assert make(checkout, "PYTHON=./python-good", "check").returncode == 0
    calls = " ".join(read_calls(checkout)).replace(",", " ")
    for part in (
        "ruff check",
        "ruff format --check",
        "yamllint --strict",
        "codespell",
        "mypy plugins/leanbrain",
        "--doctest-modules plugins/leanbrain",
        "pytest -m not command -n auto --dist loadfile --cov --cov-report",
    ):
        assert part in calls, part


@needs_make
@pytest.mark.parametrize(
    "python, sentence",
    [
        ("./python-old", "LeanBrain needs Python >= 3.10, got Python 3.9.2"),
        ("./python-bare", "./python-bare has no venv module"),
        ("./python-absent", "LeanBrain needs Python >= 3.10"),
    ],
)
def test_python_that_does_not_fit(checkout, python, sentence):
    done = make(checkout, f"PYTHON={python}", "test")
    assert done.returncode != 0
    assert f"error: {sentence}" in done.stderr
    assert not (checkout / ".venv").exists()


@needs_make
def test_failed_install_is_tried_again(checkout):
    make(checkout, "PYTHON=./python-good", "venv")
    python = checkout / ".venv" / "bin" / "python"
    good = python.read_text()
    (checkout / ".venv" / ".stamp").unlink()
    python.write_text(good + 'case "$*" in *install*) exit 1;; esac\n')
    assert make(checkout, "PYTHON=./python-good", "demo").returncode != 0
    python.write_text(good)
    read_calls(checkout)
    assert make(checkout, "PYTHON=./python-good", "venv").returncode == 0
    assert read_calls(checkout) == [INSTALL]


# ---------------------------------------------------- continuous integration


def test_ci_installs_slurm_runs_make_check_and_nothing_else(
    repo_root, tmp_path
):
    script = repo_root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    (tmp_path / "make").write_text('#!/bin/sh\necho "$PWD|$*|$(cat)"\n')
    (tmp_path / "make").chmod(0o755)
    done = subprocess.run(
        [script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        input="not to be read",
        capture_output=True,
        text=True,
    )
    assert done.stdout == "".join(
        f"{repo_root}|{x}|\n" for x in ("slurm", "check", "commands")
    )
    assert done.returncode == 0


def test_workflow_calls_the_same_command(repo_root):
    path = repo_root / ".github" / "workflows" / "ci.yml"
    job = yaml.safe_load(path.read_text())["jobs"]["check"]
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.13"]
    assert [x["run"] for x in job["steps"] if "run" in x] == [".ci/run"]
