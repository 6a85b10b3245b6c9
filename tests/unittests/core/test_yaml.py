"""Every YAML: listed or included, loads, and has no key without a use."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from leanbrain.hyperyaml import load_yaml

ROOT = Path(__file__).resolve().parents[3]
PIECES = sorted((ROOT / "hparams").rglob("*.yaml"))
ENTRIES = sorted((ROOT / "recipes").rglob("hparams/*.yaml"))
WHISPER = [path for path in ENTRIES if "Whisper" in path.parts]
OTHERS = [path for path in ENTRIES if path not in WHISPER]
TINY_WHISPER = (
    ROOT / "tests/recipes/setup"
    "/recipes_MultilingualPrompts_ASR_Whisper_train/hparams_dense"
)
# What reads the keys that every workload of the optimizer benchmark has.
OPTBENCH = ROOT / "plugins" / "leanbrain" / "optbench"
# What several recipes start their pruned runs with.
SHARED = ROOT / "plugins" / "leanbrain" / "pruning" / "host" / "starting.py"
# Included by the entry files, or read by demo.py: no entry files themselves.
PARTS = {"model.yaml", "demo.yaml"}
FILL = {
    "total_steps": 100,
    "pathways": ["en", "fr"],
    "dense_checkpoint": False,
    "lstm_neurons": 8,
    "method": "lap",
    "initial_masks": "masks.pt",
}


def index():
    rows = []
    for path in sorted((ROOT / "tests" / "recipes").glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as stream:
            rows += list(csv.DictReader(stream))
    return rows


def load(path, **values):
    text = path.read_text(encoding="utf-8")
    wanted = re.findall(r"^(\w+): !PLACEHOLDER", text, re.M)
    with open(path, encoding="utf-8") as stream:
        values.update((k, FILL[k]) for k in wanted)
        if "pathways" in wanted and "the one language" in path.read_text():
            values["pathways"] = FILL["pathways"][:1]
        return load_yaml(stream, values)


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory):
    """What entry files of Whisper start from."""
    folder = tmp_path_factory.mktemp("whisper")
    subprocess.run([sys.executable, TINY_WHISPER], cwd=folder, check=True)
    return folder / "results" / "recipe_tests" / "whisper" / "tiny"


@pytest.mark.parametrize("path", WHISPER, ids=lambda p: p.name)
def test_those_of_whisper_load(path, monkeypatch, tmp_path, tiny_whisper):
    monkeypatch.syspath_prepend(path.parent.parent)
    monkeypatch.chdir(tmp_path)
    assert load(path, whisper_source=str(tiny_whisper))


@pytest.mark.parametrize("path", [*PIECES, *OTHERS], ids=lambda p: p.name)
def test_it_loads(path, monkeypatch, tmp_path):
    # As a script of the recipe finds its own modules; caches go elsewhere.
    monkeypatch.syspath_prepend(path.parent.parent)
    monkeypatch.chdir(tmp_path)
    assert load(path)


def test_every_entry_file_is_in_the_index():
    listed = {row["Hparam_file"] for row in index()}
    found = {str(p.relative_to(ROOT)) for p in ENTRIES if p.name not in PARTS}
    assert listed == found


@pytest.mark.parametrize("row", index(), ids=lambda r: r["Hparam_file"])
def test_every_file_that_the_index_names_exists(row):
    for key in ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file"):
        assert (ROOT / row[key]).is_file(), row[key]
    assert row["test_debug_flags"] and row["test_debug_checks"]


@pytest.mark.parametrize("path", ENTRIES, ids=lambda p: p.name)
def test_every_key_is_used(path):
    text = path.read_text(encoding="utf-8")
    folder = path.parent.parent
    sources = [*folder.glob("*.py"), SHARED]
    if "OptimizerBenchmark" in path.parts:
        sources += OPTBENCH.rglob("*.py")
    scripts = "".join(p.read_text() for p in sources)
    entries = "".join(p.read_text() for p in path.parent.glob("*.yaml"))
    for key in re.findall(r"^(\w+):", text, re.M):
        used = (
            key.startswith("__")
            or re.search(rf"<{key}[>\[]", text)
            or re.search(rf"[\"'.]{key}\b", scripts)
            or re.search(rf"<asr\[{key}\]>", entries)
            or key in RUN_OPTIONS
        )
        assert used, f"{path.name}: {key} has no effect"


RUN_OPTIONS = {
    "eval_precision",
    "max_grad_norm",
    "precision",
    "skip_nonfinite_grads",
}


def test_entry_files_are_short():
    for path in ENTRIES:
        assert len(path.read_text().splitlines()) <= 120, path


def settings_of(path):
    """Lines of an entry file that are no comments, without its own name."""
    stem = path.stem if path.stem != "pruned" else "<method>"
    text = path.read_text().replace(f"/{stem}/<seed>", "/NAME/<seed>")
    return [x for x in text.splitlines() if x and not x.startswith("#")]


@pytest.mark.parametrize(
    ("recipe", "own"),
    [
        ("CTC", ("method:", "pruning:", "distillation_weight: 0.0")),
        ("Whisper", ("method:", "pruning: {}")),
    ],
)
def test_all_methods_train_with_the_same_numbers(recipe, own):
    """pruned.yaml and pathways.yaml differ in the pruning piece alone."""
    folder = ROOT / "recipes/MultilingualPrompts/ASR" / recipe / "hparams"
    a = settings_of(folder / "pathways.yaml")
    b = settings_of(folder / "pruned.yaml")
    start = next(i for i, x in enumerate(a) if x.startswith("pruning:"))
    del a[start : a.index("pruner: !ref <pruning[pruner]>") + 1]
    assert len([x for x in b if x.startswith(own)]) == len(own)
    assert [x for x in b if not x.startswith(own)] == a


METHODS = sorted((ROOT / "hparams" / "pruning").glob("*.yaml"))


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.stem)
def test_every_key_of_a_method_is_used(path):
    text = path.read_text(encoding="utf-8")
    keys = re.findall(r"^(\w+):", text, re.M)
    assert {"total_steps", "pathways", "sparsity", "pruner"} <= set(keys)
    unused = [k for k in keys if not re.search(rf"<{k}[>\[]", text)]
    one_mask = ["pathways"] if "pathways: [all]" in text else []
    checks = [k for k in keys if k.startswith("__")]
    assert unused == [*one_mask, *checks, "pruner"]
    if one_mask:
        assert "pathways: !PLACEHOLDER # not looked at" in text


@pytest.mark.parametrize("path", METHODS, ids=lambda p: p.stem)
def test_a_method_says_what_it_takes(path):
    """Where it is from, and how many runs it is."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = " ".join(x[2:] for x in lines[: lines.index("")])
    assert re.search(r"(\b[Oo]ne|`rounds` \+ 1) runs?\b", head), head
    assert "arXiv" in head or path.stem in ("none", "one_shot"), head


def test_no_duplicate_keys():
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader, node):
        keys = [k.value for k, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return {}

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    Strict.add_multi_constructor("!", lambda *_: {})
    for path in [*PIECES, *ENTRIES]:
        yaml.load(path.read_text(), Strict)
