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

    from leanbrain.hyperyaml import load_yaml

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
        built = load_yaml(
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


def test_layers_that_ran_are_told_and_none_is_refused(script):
    layers = script("host_layers")
    pairs = layers.counterparts(layers.LAYERS)
    derived = type("Derived", (pairs["linear.Linear"][1],), {})
    config = SimpleNamespace(
        host_layers_ran=set(), option=SimpleNamespace(collectonly=False)
    )
    session = SimpleNamespace(config=config, testscollected=1, exitstatus=0)
    watched = layers.watch(pairs, config.host_layers_ran)
    try:
        torch.nn.Linear(2, 2)(torch.ones(2))
        layers.pytest_sessionfinish(session)
        assert session.exitstatus == pytest.ExitCode.USAGE_ERROR
        session.exitstatus = 0
        derived(n_neurons=2, input_size=2)(torch.ones(1, 2))
        assert config.host_layers_ran == {"linear.Linear"}
        layers.pytest_sessionfinish(session)
        assert session.exitstatus == 0
    finally:
        watched.remove()


def test_most_layers_have_an_example_that_runs_ours(script):
    host = script("host_examples")
    name, ran = "linear.Linear", set()
    config = SimpleNamespace(host_layers_ran=ran)

    def run():
        found = {example.name: example for example in host.examples()}
        assert len(found) > 12
        host.test_example(found[name], config)

    with pytest.raises(AssertionError, match="linear.Linear is not ours"):
        run()
    ran.add(name)
    run()


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


def test_a_brain_that_is_not_pruned_as_asked_fails(script, trained):
    host = script("host_pruner")
    pruners, put_back = host.attach_to_every_fit(trained.brain_class, 0.25)
    try:
        weight = trained().modules.model.weight
    finally:
        put_back()
    host.check_pruned(pruners[0], 0.25)
    with pytest.raises(AssertionError, match="weight: 4 removed"):
        host.check_pruned(pruners[0], 0.5)
    weight.data.fill_(1.0)
    with pytest.raises(AssertionError, match="weight: 4 zeros filled"):
        host.check_pruned(pruners[0], 0.25)
    pruners[0].frozen = False
    with pytest.raises(AssertionError, match="be final, got step 6"):
        host.check_pruned(pruners[0], 0.25)


# ------------------------------------------------------------------ shell


CLONE = "`SPEECHBRAIN_REPO` must name a clone of SpeechBrain, got"
WRONG = [
    ({}, [], f"{CLONE} ''"),
    ({"SPEECHBRAIN_REPO": ""}, ["layers"], f"{CLONE} ''"),
    ({"SPEECHBRAIN_REPO": "/no/clone"}, [], f"{CLONE} '/no/clone'"),
    ({}, ["--markdown"], "`--markdown` must name a page, got ''"),
    ({}, ["--markdown", "no"], "`--markdown` must name a page, got 'no'"),
    (
        {},
        ["layers", "layer"],
        "parts must be among recipes, layers, sparsity_0, sparsity_30, got "
        "'layer'",
    ),
]


@pytest.mark.parametrize(("given", "arguments", "sentence"), WRONG)
def test_what_is_wrong_is_told_before_anything_runs(
    repo_root, given, arguments, sentence
):
    env = {k: v for k, v in os.environ.items() if k != "SPEECHBRAIN_REPO"}
    done = subprocess.run(
        [repo_root / "tests" / "host" / "run_host_tests.sh", *arguments],
        capture_output=True,
        text=True,
        env=env | given,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"error: {sentence}.\n"


def test_tests_of_another_minor_version_are_refused(script):
    check = script("host_versions").check_version
    check("1.1.0", "1.1.2")
    with pytest.raises(SystemExit, match="or close to it, got 1.0.3"):
        check("1.0.3", "1.1.2")


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
    assert len(scripts) == 5
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
