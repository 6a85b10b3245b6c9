"""The scripts that run SpeechBrain's tests on our code, without a clone."""

import csv
import os
import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

# ----------------------------------------------------------------- layers


def test_every_public_layer_takes_the_place_of_its_namesake(script):
    import speechbrain.nnet.linear as linear
    from hyperpyyaml import load_hyperpyyaml

    layers = script("host_layers")
    stock, early = linear.Linear, ModuleType("imported_early")
    early.Layer, early.other = stock, 1
    sys.modules[early.__name__] = early
    pairs = layers.counterparts(layers.LAYERS)
    assert {"linear.Linear", "CNN.Conv1d", "RNN.LiGRU"} <= set(pairs)
    assert {"attention.RelPosMHAXL", "conformer.ConvolutionModule"} <= set(
        pairs
    )
    places = layers.patch(pairs)
    try:
        for name, (theirs, ours) in pairs.items():
            assert ours is not theirs and issubclass(ours, theirs), name
            assert getattr(sys.modules[theirs.__module__], theirs.__name__) is (
                ours
            )
        assert early.Layer is linear.Linear is pairs["linear.Linear"][1]
        built = load_hyperpyyaml(
            "a: !new:speechbrain.nnet.linear.Linear\n"
            "    input_size: 2\n    n_neurons: 3\n"
        )
        assert type(built["a"]).__module__ == f"{layers.LAYERS}.linear"
    finally:
        layers.restore(places)
        del sys.modules[early.__name__]
    assert early.Layer is linear.Linear is stock


@pytest.mark.parametrize(
    "package, sentence",
    [("no_such_layers", "No module named"), ("strange", "no layer in strange")],
)
def test_a_run_without_any_layer_is_refused(
    script, monkeypatch, tmp_path, package, sentence
):
    layers = script("host_layers")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "__init__.py").touch()
    (tmp_path / "strange" / "linear.py").write_text(
        '__all__ = ["Linear"]\n\n\nclass Linear:\n    pass\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(layers, "LAYERS", package)
    with pytest.raises(pytest.UsageError, match=sentence):
        layers.pytest_configure(SimpleNamespace())


# ----------------------------------------------------------------- pruner


def test_at_0_percent_training_is_the_same_to_the_bit(script, trained):
    dense = trained()
    attach = script("host_pruner").attach_to_every_fit
    pruners, put_back = attach(trained.brain_class, 0.0)
    try:
        pruned = trained()
    finally:
        put_back()
    assert [p.step for p in pruners] == [6]
    before, after = dense.modules.state_dict(), pruned.modules.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_at_25_percent_weights_are_removed_from_every_brain(script, trained):
    attach = script("host_pruner").attach_to_every_fit
    pruners, put_back = attach(trained.brain_class, 0.25)
    try:
        brains = [trained(), trained()]
    finally:
        put_back()
    assert len(pruners) == 2 and all(p.frozen for p in pruners)
    for brain in brains:
        assert int((brain.modules.model.weight == 0).sum()) == 4
    trained()
    assert len(pruners) == 2


# ------------------------------------------------------------------ table

CASES = {
    "good": "",
    "broken": '<failure message="E">why</failure>',
    "broken_too": '<error message="E">why</error>',
    "left_out": '<skipped message="Skipped: no network">x:1</skipped>',
}
FILE = (
    '<testcase classname="" name="x" file="host/whole.py"><skipped '
    'message="collection skipped">(\'whole.py\', 3, "Skipped: could not '
    "import 'k2'\")</skipped></testcase>"
)


def junit(path, names, more=""):
    """A report as pytest writes it."""
    cases = "".join(
        f'<testcase classname="c" file="host/t.py" name="{name}">'
        f"{CASES[name]}</testcase>"
        for name in names
    )
    path.write_text(
        '<testsuites><testsuite time="61.6">'
        f"{cases}{more}</testsuite></testsuites>"
    )


@pytest.fixture
def judged(script, tmp_path, capsys):
    """Runs the table; returns its exit code and what it prints."""
    (tmp_path / "versions.txt").write_text("SpeechBrain 1\n")
    known = tmp_path / "known.txt"
    known.write_text("# none\n")

    def judge(*arguments, reasons=""):
        known.write_text(reasons)
        code = script("host_table").main(
            [str(tmp_path), *arguments, "--known", str(known)]
        )
        return code, capsys.readouterr().out

    return judge


def test_the_table_counts(judged, tmp_path):
    junit(tmp_path / "layers.xml", ["good", "good", "left_out"], FILE)
    code, text = judged("layers")
    cells = [c.strip() for c in text.splitlines()[-4].split("|")[2:-1]]
    assert code == 0 and text.startswith("SpeechBrain 1\n\n| part")
    assert cells == ["4", "2", "0", "2", "62"]
    assert text.endswith(
        "- layers skipped: host/t.py::left_out (no network)\n"
        "- layers skipped: host/whole.py (could not import 'k2')\n"
    )


FATAL = ["recipes", "layers", "sparsity_0"]


@pytest.mark.parametrize("part", [*FATAL, "sparsity_30"])
def test_a_failure_without_a_reason_is_fatal(judged, tmp_path, part):
    junit(tmp_path / f"{part}.xml", ["good", "broken", "broken_too"])
    junit(tmp_path / f"alone_{part}.xml", ["broken"])
    code, text = judged(part)
    assert code == int(part in FATAL)
    assert "t.py::broken (fails without our code)" in text
    assert "t.py::broken_too (passes without our code)" in text
    reasons = "t.py::broken: a: b\nt.py::broken_too: theirs\n"
    code, text = judged(part, reasons=reasons)
    assert code == 0 and "t.py::broken (a: b; fails without our code)" in text
    assert judged("--failed", part) == (
        0,
        "host/t.py::broken\nhost/t.py::broken_too\n",
    )


@pytest.mark.parametrize("names", [None, [], ["left_out"]])
def test_a_part_in_which_nothing_ran_is_fatal(judged, tmp_path, names):
    if names is not None:
        junit(tmp_path / "layers.xml", names)
    code, text = judged("layers")
    assert code == 1 and "layers: no test ran" in text


def test_the_table_goes_into_the_page(judged, tmp_path):
    junit(tmp_path / "layers.xml", ["good"])
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- host tests -->\nold\n<!-- end -->\nz\n")
    _, text = judged("layers", "--markdown", str(page))
    assert page.read_text() == (
        f"a\n<!-- host tests -->\n{text}<!-- end -->\nz\n"
    )
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="must have <!-- host tests -->"):
        judged("layers", "--markdown", str(page))


def test_an_unknown_part_is_refused(judged, capsys):
    with pytest.raises(SystemExit, match="2"):
        judged("layer")
    assert "parts must be among recipes, layers," in capsys.readouterr().err


# ------------------------------------------------------------------ shell


@pytest.mark.parametrize("repo", [None, "", "/no/such/clone"])
def test_without_a_clone_there_is_one_sentence(repo_root, repo):
    env = {k: v for k, v in os.environ.items() if k != "SPEECHBRAIN_REPO"}
    if repo is not None:
        env["SPEECHBRAIN_REPO"] = repo
    done = subprocess.run(
        [repo_root / "tests" / "host" / "run_host_tests.sh"],
        capture_output=True,
        text=True,
        env=env,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == (
        "error: `SPEECHBRAIN_REPO` must name a clone of SpeechBrain, got "
        f"'{repo or ''}'.\n"
    )


def test_a_package_that_comes_from_the_clone_is_refused(script, tmp_path):
    check = script("host_versions").check_installed
    inside = tmp_path / "clone" / "speechbrain" / "__init__.py"
    check(str(tmp_path / "speechbrain" / "__init__.py"), tmp_path / "clone")
    with pytest.raises(SystemExit, match="must be the installed package"):
        check(str(inside), tmp_path / "clone")


# ---------------------------------------------------------------- recipes


def claims(path):
    """(file, key) for each setting that a script says is read elsewhere."""
    text = path.read_text(encoding="utf-8")
    block = re.search(r"^# Where other settings.*\n((?:#  .*\n)+)", text, re.M)
    for line in block[1].replace("\n#     ", " ").splitlines():
        file, _, keys = line.removeprefix("#   ").partition(": ")
        for key in keys.split():
            yield file, key.removeprefix("hparams.")


def test_settings_are_read_where_the_scripts_say(repo_root):
    scripts = [
        path
        for path in (repo_root / "recipes").rglob("train.py")
        if "# Where other settings are read" in path.read_text()
    ]
    assert len(scripts) == 4
    for path in scripts:
        for file, key in claims(path):
            folder = path.parent
            if file.startswith("leanbrain/"):
                folder = repo_root / "plugins"
            text = (folder / file).read_text(encoding="utf-8")
            code = re.sub(r"^# .*", "", text, flags=re.M)  # not the claim
            assert re.search(rf"\"{key}\"|\.{key}\b", code), key


def test_scripts_without_speechbrains_debug_options_have_checks(repo_root):
    """Its runner adds --debug where there is no performance to check."""
    found = 0
    for path in (repo_root / "tests" / "recipes").glob("*.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            text = (repo_root / row["Script_file"]).read_text()
            if "parse_arguments(" not in text:
                found += 1
                assert "performance_check=[" in row["test_debug_checks"]
    assert found == 5
