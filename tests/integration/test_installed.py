"""The package alone, installed outside of the checkout, does what it says."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
QUIET = ("--device", "cpu", "--noprogressbar")

pytestmark = pytest.mark.slow


class Installed:
    """An environment that holds the wheel, and sees torch of this one."""

    def __init__(self, folder, wheel):
        self.folder = folder / "work"
        self.folder.mkdir()
        place = folder / "env"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", place], check=True
        )
        self.bin = place / "bin"
        pip = [sys.executable, "-m", "pip", "--python", self.bin / "python"]
        subprocess.run(
            [*pip, "install", "-q", "--no-deps", "--no-index", wheel],
            check=True,
            capture_output=True,
        )
        # Packages of this environment, none of which is the checkout: its own
        # link to that is in a .pth file, which is not read there.
        (site,) = place.glob("lib/python*/site-packages")
        (site / "host.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        self.package = site / "leanbrain"

    def run(self, *words):
        """Runs a program of the environment; returns what it prints."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [self.bin / words[0], *map(str, words[1:])],
            cwd=self.folder,
            env={**kept, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel_file, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"), wheel_file)


@pytest.fixture(scope="module")
def recipe(installed):
    """A stock recipe in a folder of its own."""
    folder = installed.folder / "recipe"
    shutil.copytree(HERE / "host" / "stock", folder)
    return folder


EVERY_MODULE = """
import importlib, pkgutil, leanbrain
for found in pkgutil.walk_packages(leanbrain.__path__, "leanbrain."):
    if not found.name.endswith("__main__"):
        print(importlib.import_module(found.name).__file__)
"""


def test_no_module_needs_the_checkout(installed, repo_root):
    files = installed.run("python", "-c", EVERY_MODULE).splitlines()
    assert all(Path(x).is_relative_to(installed.package) for x in files)
    own = (repo_root / "plugins" / "leanbrain").rglob("*.py")
    wanted = {x.name for x in own} - {"__init__.py", "__main__.py"}
    assert wanted <= {Path(x).name for x in files}


def test_it_is_the_package_that_runs(installed, repo_root):
    code = "import leanbrain; print(leanbrain.__file__)"
    assert installed.run("python", "-c", code).strip() == str(
        installed.package / "__init__.py"
    )
    folder = Path(installed.run("leanbrain", "hparams").strip())
    assert folder == installed.package / "hparams"
    assert not folder.is_symlink() and repo_root not in folder.parents
    assert "inspect" in installed.run("leanbrain", "--help")


def test_it_prunes_a_stock_recipe_and_takes_pathways_out(installed, recipe):
    out = recipe / "pruned"
    train = ("leanbrain", "run", recipe / "train.py", recipe / "train.yaml")
    said = installed.run(
        *(*train, "--pruning", "adaptive", "--pathways", "en", "fr"),
        *("--set", "interval=2", "--output_folder", out, *QUIET),
    )
    assert "masks are final" in said
    installed.run("leanbrain", "export-pathways", out)
    for language in ("en", "fr"):
        assert (out / "pathways" / language / "model.ckpt").is_file()


def test_it_puts_another_optimizer_into_a_recipe(installed, recipe):
    said = installed.run("leanbrain", "swap", recipe / "train.yaml", "nadamw")
    assert "opt_class: torch.optim.AdamW -> " in said
    installed.run(
        *("python", recipe / "train.py", recipe / "train_nadamw.yaml"),
        *("--output_folder", recipe / "swapped", *QUIET),
    )
    assert list((recipe / "swapped" / "save").glob("CKPT*"))


def test_it_times_optimizers(installed):
    folder = installed.folder / "bench"
    shutil.copytree(HERE / "optbench" / "toy", folder / "toy")
    shipped = Path(installed.run("leanbrain", "hparams", "cpu").strip())
    rules = yaml.safe_load(shipped.read_text())
    names = ["adamw", "sgd_nesterov"]
    rules |= {"studies": 2, "trials_per_study": 1}
    rules["target"] |= {"optimizers": names, "points": 2, "seeds": 3}
    (folder / "few.yaml").write_text(yaml.safe_dump(rules))
    suite = {
        "rules": "few.yaml",
        "workloads": ["toy/hparams/toy.yaml"],
        "optimizers": names,
        "targets": {"embedded": "none.json", "real": "none.json"},
        "calibration_steps": 4,
        "overrides": {"total_steps": 20, "width": 8},
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    words = ["leanbrain", "bench-optimizers", folder / "suite.yaml"]
    words += ["--results_folder", folder / "out", "--workers", "1"]
    words += ["--debug", "--targets", folder / "targets.json"]
    installed.run(*words, "--set_targets")
    assert json.loads((folder / "targets.json").read_text())["toy"]
    assert "report.html" in installed.run(*words)
    (folder / "out" / "report.html").unlink()
    installed.run("leanbrain", "optimizer-report", folder / "out")
    assert (folder / "out" / "report.html").is_file()
    assert " 0 damaged" in installed.run("leanbrain", "trials", folder / "out")
