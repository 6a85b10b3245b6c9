"""`leanbrain inspect`: one table for people and programs, one sentence else."""

import json
import subprocess
import sys

import pytest

from leanbrain import __version__
from leanbrain.__main__ import COMMANDS, main
from leanbrain.checks import UserError
from leanbrain.commands.settings import read_settings

TINY = """
data_folder: !PLACEHOLDER
size: 30
modules:
    enc: !new:torch.nn.GRU [4, !ref <size>]
    ctc_lin: !new:torch.nn.Linear [!ref <size>, 7]
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture
def methods(repo_root):
    return repo_root / "hparams" / "pruning"


def fails(capsys, *arguments):
    """Runs a command that is refused; returns what it says."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_prints_the_table(recipe, capsys):
    assert main(["inspect", recipe, "--size=20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = {x.split("  ")[0]: x.split() for x in lines if x}
    assert cells["enc"] == ["enc", "1,440", "84.4%"]
    assert ["weight_hh_l0", "60x20", "1,200", "70.3%"] in cells.values()
    assert cells["2 targets"][2:] == ["1,440", "84.4%"]
    assert cells["an output layer: 1"][-2:] == ["140", "8.2%"]
    assert cells["6 parameters"][2:] == ["1,707", "100.0%"]
    assert lines[-1] == "in mask-aware layers: 2 of 2"


def test_targets_that_no_mask_aware_layer_covers_are_told(recipe, capsys):
    with open(recipe, "a", encoding="utf-8") as file:
        file.write("    q: !new:speechbrain.nnet.RNN.QuasiRNN\n")
        file.write("        hidden_size: 4\n        input_size: 3\n")
        file.write("        bidirectional: False\n")
    assert main(["inspect", recipe]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "in mask-aware layers: 2 of 3"
    assert lines[-1].startswith("  not q.qrnn.0.w.weight: QuasiRNNLayer runs")
    assert main(["inspect", recipe, "--json"]) == 0
    lost = json.loads(capsys.readouterr().out)["not_mask_aware"]
    assert list(lost) == ["q.qrnn.0.w.weight"]


def test_prints_a_dry_run(recipe, methods, capsys):
    file = str(methods / "lap.yaml")
    assert main(["inspect", recipe, "--pruning", file]) == 0
    text = capsys.readouterr().out
    assert f"dry run of {file}\n10,000 steps; masks from step 0 on" in text
    assert "each pathway keeps 918 of 3,060 weights (70.00% removed)" in text
    lines = text.splitlines()
    assert lines[0].split()[-1] == "kept"
    total = next(line for line in lines if line.startswith("2 targets"))
    assert total.split()[2:] == ["3,060", "88.5%", "918"]


def test_json_says_the_same(recipe, methods, capsys):
    command = ["inspect", recipe, "--json", "--total_steps", "100"]
    command += ["--pruning", str(methods / "adaptive.yaml")]
    command += ["--pathways", "en", "fr", "--set", "sparsity=0.5"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in said["targets"]] == [
        "enc.weight_ih_l0",
        "enc.weight_hh_l0",
    ]
    assert said["groups"] == {"enc": 3060} and said["target_weights"] == 3060
    assert said["parameters"] == 2 + len(said["left_out"]) == 6
    assert said["not_built"] == {}
    run = said["dry_run"]
    assert (run["total_steps"], run["kept"]) == (100, 1530)
    assert run["pathways"] == ["en", "fr"]
    assert run["updates"][-1]["sparsity"] == 0.5
    assert run["keep_by"] == "score" and run["keep"] is None


def test_patterns_that_are_typed_go_before_those_of_the_method(
    recipe, methods, capsys
):
    command = ["inspect", recipe, "--json", "--pruning"]
    command += [str(methods / "one_shot.yaml")]
    command += ["--set", "exclude=['*_hh_*']"]
    main(command)
    names = [r["name"] for r in json.loads(capsys.readouterr().out)["targets"]]
    assert names == ["enc.weight_ih_l0", "ctc_lin.weight"]
    main([*command, "--include", "enc.*", "--exclude", "*_ih_*"])
    names = [r["name"] for r in json.loads(capsys.readouterr().out)["targets"]]
    assert names == ["enc.weight_hh_l0"]


def test_a_method_is_found_from_any_folder(
    recipe, methods, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    told = []
    for given in (str(methods / "lap.yaml"), "lap"):
        main(["inspect", recipe, "--json", "--pruning", given])
        told.append(json.loads(capsys.readouterr().out)["dry_run"])
    assert told[0] == told[1]
    with pytest.raises(SystemExit, match="2"):
        main(["inspect", recipe, "--pruning", "lapp"])
    assert "'lapp' (nearest: lap, " in capsys.readouterr().err


def test_patterns_of_several_options_are_joined(recipe, capsys):
    command = ["inspect", recipe, "--json", "--exclude", "*_ih_*"]
    main([*command, "--include", "enc.*", "--include", "ctc_lin.*"])
    names = [r["name"] for r in json.loads(capsys.readouterr().out)["targets"]]
    assert names == ["enc.weight_hh_l0", "ctc_lin.weight"]


def test_what_could_not_be_built_is_told(recipe, tmp_path, capsys):
    with open(recipe, "a", encoding="utf-8") as file:
        file.write("    odd: !new:nosuch.Layer\n")
    assert main(["inspect", recipe]) == 0
    text = capsys.readouterr().out
    assert "not built, so not in the table:\n  odd: needs the package" in text


# Command lines that a recipe's script takes, and so `leanbrain run`.
TAKEN = [
    ["--debug", "--size=9"],
    ["--size=9", "--debug"],
    ["--device=cpu", "--size", "9", "--max_grad_norm=1.0"],
    ["--rates=[64, 100]", "--size=9"],
    ["--rates=[64,", "100]", "--size=9"],
    ["--rates=", "--size=9"],
    ["--size=9", "--", "--rates=[1]"],
    ["--size=9", "--precision", "bf16", "--brain", "ASR", "--pruning=lap"],
]


@pytest.mark.parametrize("words", TAKEN)
def test_takes_what_run_takes(recipe, capsys, words):
    with open(recipe, "a", encoding="utf-8") as file:
        file.write("rates: [1, 2]\n")
    assert main(["inspect", "--json", recipe, *words]) == 0
    told = json.loads(capsys.readouterr().out)
    shapes = {row["name"]: row["shape"] for row in told["targets"]}
    assert shapes["enc.weight_hh_l0"] == [27, 9]


def test_a_language_model_that_is_not_saved_is_no_target(recipe, capsys):
    with open(recipe, "a", encoding="utf-8") as file:
        file.write("    lm: !new:torch.nn.Linear [30, 30]\n")
        file.write("keeps: !new:speechbrain.utils.checkpoints.Checkpointer\n")
        file.write("    checkpoints_dir: !PLACEHOLDER\n")
        file.write("    recoverables:\n        a: !ref <modules[enc]>\n")
    main(["inspect", recipe, "--json"])
    told = json.loads(capsys.readouterr().out)["left_out"]
    why = {row["name"]: row["left_out"] for row in told}
    assert why["lm.weight"] == "in no recoverable of the checkpointer"


def test_why_a_model_is_missing_comes_before_what_is_not_found(recipe, capsys):
    with open(recipe, "a", encoding="utf-8") as file:
        file.write("    w2v: !new:nosuch.Model\n")
    said = fails(capsys, "inspect", recipe, "--include", "w2v.*")
    assert said.startswith("error: Not built: w2v: needs the package nosuch. ")
    assert "pattern 'w2v.*' must match at least one" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--sizex=3"],
            "error: The recipe has no key 'sizex' (nearest: size).",
        ),
        (["--size"], "must be built, got none: "),
        (["--max_grad_norm=a"], "SpeechBrain script: argument --max_grad_no"),
        (["size=3"], "error: The YAML must be a file, got 'size=3'."),
        (["--size=3", "--size", "4"], "got 'size' twice."),
        (["--size=[3"], "An override of the recipe must have a value in YAML"),
        (
            ["--pruning", "lap", "--set", "rate"],
            "error: `--set` must be key=value, got 'rate'.",
        ),
        (
            ["--pruning", "lap", "--set", "rate=1", "--set", "rate=2"],
            "error: `--set` must name a key once, got 'rate' twice.",
        ),
        (["--include", "dec.*"], "error: `include` pattern 'dec.*' must match"),
        (["--pruning", "no.yaml"], "The method no.yaml does not exist"),
        (
            ["--pruning", "{methods}/lap.yaml", "--set", "rate=3"],
            "must be one of total_steps, pathways",
        ),
        (
            ["--pruning", "{methods}/lap.yaml", "--total_steps", "0"],
            "`total_steps` must be an integer >= 1, got 0.",
        ),
        (
            ["--pruning", "{methods}/fixed_pathways.yaml"],
            "must be given `initial_masks`, got none.",
        ),
        (
            ["--pruning", "{methods}/lap.yaml", "--set", "sparsity=2"],
            "`final` must be in [0, 1), got 2, with sparsity=2 in {methods}",
        ),
        (
            ["--pruning", "lap", "--set", "total_steps=2"],
            "`total_steps` must be given as `--total_steps`, got it among",
        ),
        (
            ["--pruning", "lap", "--pruning", "imp"],
            "--pruning must be given once, got lap and imp",
        ),
        (["--pruning", "lapp"], "got 'lapp' (nearest: lap"),
        (["--set", "sparsity=0.8"], "`--set` must come with `--pruning`, got"),
        (["--total_steps", "50"], "`--total_steps` must come with `--pru"),
        (["--pathways", "en", "fr"], "`--pathways` must come with `--pruning`"),
        (
            ["--pruning", "lap", "--pathways", "en", "fr"],
            "lap.yaml, which has one mask for all, got en fr.",
        ),
        (["--sett", "size=3"], "The recipe has no key 'sett'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    recipe, methods, capsys, arguments, said
):
    here = [x.replace("{methods}", str(methods)) for x in (*arguments, said)]
    error = fails(capsys, "inspect", recipe, *here[:-1])
    assert here[-1] in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_a_recipe_that_cannot_be_built_is_one_sentence(tmp_path, capsys):
    assert "no.yaml does not exist" in fails(
        capsys, "inspect", str(tmp_path / "no.yaml")
    )
    path = tmp_path / "recipe.yaml"
    path.write_text("modules:\n    a: !new:nosuch.Layer\n")
    said = fails(capsys, "inspect", str(path))
    assert "must be built, got none: a: needs the package nosuch." in said


def test_commands_are_listed_and_unknown_ones_refused(capsys):
    for asked, shown in (["--help"], "commands:"), (["--version"], __version__):
        with pytest.raises(SystemExit) as ended:
            main(asked)
        assert ended.value.code == 0
        assert shown in capsys.readouterr().out
    said = fails(capsys, "prune")
    assert all(f"'{name}'" in said for name in COMMANDS)


def test_help_is_fast_and_has_examples():
    """It loads neither torch nor SpeechBrain nor a YAML parser."""
    code = (
        "import sys\n"
        "from leanbrain.__main__ import main\n"
        "try:\n    main(['inspect', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "print({'torch', 'speechbrain', 'ruamel.yaml'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("leanbrain inspect hparams/") == 2
    assert done.stdout.splitlines()[-1] == "set()"


def test_settings_keep_types_and_tags():
    found = read_settings(["a=1e-3", "b=x=y", "c=!ref <d>", "e="])
    assert found["a"] == 0.001 and found["b"] == "x=y" and found["e"] is None
    assert found["c"].tag.value == "!ref"
    with pytest.raises(UserError, match="`--set` must be key=value, got '=1'"):
        read_settings(["=1"])
