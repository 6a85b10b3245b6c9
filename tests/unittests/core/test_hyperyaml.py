"""Laws of loading YAML: whatever was loaded before, it is as the first load."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import ruamel.yaml
import yaml
from hyperpyyaml import load_hyperpyyaml

from leanbrain.hyperyaml import (
    as_first_load,
    as_override,
    fill_places,
    load_yaml,
    read_tagged,
    resolved_text,
    write_tagged,
)
from leanbrain.optbench.suite.workload_file import read_workload
from leanbrain.pruning.methods import load_method
from leanbrain.recipes.building import build_modules
from leanbrain.recipes.loading import load_recipe

ROOT = Path(__file__).resolve().parents[3]

# Each feature of HyperPyYAML, with what stands in tuples and what does not.
FEATURES = """
a: 0.95
b: 0.999
name: runs
tuple: (3, 4)
nested:
    - (1, 2)
    - '(3)'
joined: !ref (<a>, <b>)
twice: !ref <joined>
whole: !ref <tuple>
sum: !ref <a> + 2 * <b>
power: !ref <a> ** 2 // 1 % 3
text: !ref (<name>)/<name>.txt
path: !ref <name>/(1)/<b>
copied: !copy <nested>
counts: !new:collections.Counter
    x: !ref (<a>, <name>)
partial: !name:fractions.Fraction
    numerator: !ref <sum>
applied: !apply:divmod [7, 2]
applied_ref: !applyref:sorted [[3, 1, 2]]
in_tuple: !apply:sum
    - !ref (<b>, 3, 4)
module: !module:math
__dropped: !apply:sum
    - !ref (<a>, 1)
included: !include:part.yaml
    inner: !ref (<a>, 7)
last: !ref (<included[size]>, <a>)
"""
PART = """
size: 5
inner: 1
outer: !ref (<size>, <size>)
deep:
    list:
        - !ref (<size>, 1)
    map:
        x: !ref (<size>, y)
"""
# As a new process of a user loads it, who knows nothing of LeanBrain.
FRESH = """
from hyperpyyaml import load_hyperpyyaml
with open("whole.yaml") as stream:
    print(repr(load_hyperpyyaml(stream, {"name": "x", "tuple": "(5, 6)"})))
"""
OVERRIDES = {"name": "x", "tuple": "(5, 6)"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "whole.yaml").write_text(FEATURES)
    (tmp_path / "part.yaml").write_text(PART)
    return tmp_path


@pytest.fixture
def first(folder):
    """What the first load of a process gives."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return unplaced(done.stdout.strip())


def unplaced(text):
    """Without addresses in memory."""
    return re.sub(r" at 0x\w+", "", text)


def loaded(load, folder):
    with open(folder / "whole.yaml", encoding="utf-8") as stream:
        return unplaced(repr(load(stream, OVERRIDES)))


def test_every_load_gives_what_the_first_of_a_process_gives(folder, first):
    assert "'joined': (0.95, 0.999)" in first
    # The script's own load, after ours.
    for load in (load_yaml, load_hyperpyyaml, load_yaml, load_yaml) * 2:
        assert loaded(load, folder) == first


def test_a_second_load_of_hyperpyyaml_alone_is_another():
    """What all this is about: without it these laws would hold idly."""
    load_yaml(PAIR)
    assert load_hyperpyyaml(PAIR)["pair"] == (0.9, 0.99)
    assert load_hyperpyyaml(PAIR)["pair"] == "(0.9, 0.99)"
    assert load_yaml(PAIR)["pair"] == (0.9, 0.99)


PAIR = "a: 0.9\nb: 0.99\npair: !ref (<a>, <b>)\n"
LISTS = "modules: !ref (<a>, <b>)\n"
WORKLOAD = (
    "total_steps: 5\neval_every_steps: 2\nmetric: x\nn: 3\n"
    "data_files: !ref (<n>, 4)\n"
)


def by_recipe(file):
    file.write_text(PAIR)
    return load_recipe(file)["pair"]


def by_method(file):
    file.write_text(PAIR + "pruner: !ref <pair>\n")
    return load_method(file, a=0.9)["pruner"]


def by_modules(file):
    file.write_text(
        "k: 1\nmodules:\n    m: !new:torch.nn.Conv2d\n        in_channels: 1\n"
        "        out_channels: 1\n        kernel_size: !ref (<k>, 3)\n"
    )
    return build_modules(file, {"k": 2}).modules["m"].kernel_size


def by_text(file):
    return resolved_text(PAIR)


def by_tree(file):
    return write_tagged(read_tagged("a: (1, 2)\nb: '(1, 2)'"), file).read()


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (by_recipe, (0.9, 0.99)),
        (by_method, (0.9, 0.99)),
        (by_modules, (2, 3)),
        (by_text, "a: 0.9\nb: 0.99\npair: (0.9, 0.99)\n"),
        (by_tree, "a: (1, 2)\nb: (1, 2)\n"),
    ],
)
def test_readers_are_as_first_and_leave_a_first_load(read, value, tmp_path):
    load_hyperpyyaml(PAIR)  # of a script, before ours
    assert read(tmp_path / "a.yaml") == value
    assert load_hyperpyyaml(PAIR)["pair"] == (0.9, 0.99)
    assert read(tmp_path / "b.yaml") == value


def test_planning_reads_a_workload_as_first(tmp_path):
    file = tmp_path / "recipe" / "hparams" / "w.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(WORKLOAD)
    before = read_workload(file)
    load_hyperpyyaml(PAIR)
    assert read_workload(file) == before
    assert load_hyperpyyaml(PAIR)["pair"] == (0.9, 0.99)


def deep():
    """Whether constructors of both packages are deep."""
    return [
        package.constructor.BaseConstructor.construct_object.__defaults__
        for package in (yaml, ruamel.yaml)
    ]


def test_a_load_that_fails_leaves_nothing():
    with pytest.raises(ImportError):
        load_yaml(PAIR + "c: !new:nowhere.Thing\n")
    assert deep() == [(False,), (False,)]
    assert load_hyperpyyaml(PAIR)["pair"] == (0.9, 0.99)


def test_a_load_within_a_load_does_not_end_the_outer_ones():
    text = (
        f"inner: !apply:{__name__}.load_pair []\n"
        "later: !apply:copy.copy [{x: {y: [1]}}]\n"
    )
    sys.modules[__name__].load_pair = lambda: load_yaml(PAIR)["pair"]
    loaded = load_yaml(text)
    assert loaded == {"inner": (0.9, 0.99), "later": {"x": {"y": [1]}}}


def test_what_is_registered_in_a_load_stays_in_it():
    class Ours(ruamel.yaml.Loader):
        pass

    before = set(ruamel.yaml.Loader.yaml_multi_constructors)
    load_yaml("a: !apply:divmod [7, 2]")
    assert set(ruamel.yaml.Loader.yaml_multi_constructors) == before
    with as_first_load():
        pass
    assert deep() == [(False,), (False,)]


# -- command lines -------------------------------------------------------------

HOSTILE = {
    "path": "/a b/#1: [x] {y} & 'z' \"q\" = \\n, é\t!new:os.system",
    "languages": ["1", "no", "null", "1e3", "true", "~", "a: b", "ß", ""],
    "nested": {"a=b": [1, 0.5, 1e-05, None, True], "c": {"d": "--x=--y"}},
    "number": 1e-05,
    "flag": False,
    "nothing": None,
    "text": "0x1F",
    "folder": Path("/with space/#hash"),
}


def parsed(words):
    """What a recipe's script gets of its command line."""
    from speechbrain import parse_arguments

    _, _, overrides = parse_arguments(["train.yaml", *words])
    text = "".join(f"{key}: {{}}\n" for key in HOSTILE)
    return load_yaml(text, overrides)


def test_overrides_arrive_as_they_were():
    found = parsed([as_override(k, v) for k, v in HOSTILE.items()])
    assert found == {**HOSTILE, "folder": "/with space/#hash"}


def test_places_arrive_as_they_are():
    words = ["{recipe}/train.py", as_override("path", "{data}/x")]
    words += [as_override("nested", {"a": ["{data}", "{other}"]})]
    place = HOSTILE["path"]
    places = {"recipe": place, "data": place}
    script, *words = [fill_places(word, places) for word in words]
    assert script == f"{place}/train.py"
    found = parsed(words)
    assert found["path"] == f"{place}/x"
    assert found["nested"] == {"a": [place, "{other}"]}


# What changes the settings of ruamel.yaml for all, or depends on them.
DIRECT = re.compile(
    r"\b(load_hyperpyyaml|resolve_references|dump_hyperpyyaml)\(|\bYAML\("
)


def test_nobody_else_reads_yaml_with_tags():
    own = ROOT / "plugins/leanbrain/hyperyaml.py"
    sources = [
        path
        for folder in ("plugins", "recipes", "tests/host", "tests/benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if path != own
    ]
    assert len(sources) > 200
    found = {
        str(path.relative_to(ROOT))
        for path in sources
        if DIRECT.search(path.read_text(encoding="utf-8"))
    }
    assert not found, "use leanbrain.hyperyaml"
