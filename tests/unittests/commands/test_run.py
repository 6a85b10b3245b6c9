"""What `leanbrain run` takes for itself, and what goes to the script."""

import sys

import pytest

from leanbrain.__main__ import main
from leanbrain.checks import UserError
from leanbrain.commands import run
from leanbrain.commands import script as script_module
from leanbrain.commands.parser import Parser

SPLITS = [  # command line -> what the script gets
    ("a.py b.yaml --pruning m.yaml", []),
    ("--pruning m.yaml a.py b.yaml --lr 1", ["--lr", "1"]),
    ("a.py b.yaml --lr 1 --pruning m.yaml --debug", ["--lr", "1", "--debug"]),
    ("a.py b.yaml --pruning m.yaml -- --pruning x", ["--pruning", "x"]),
    (
        "a.py b.yaml --pruning m.yaml --set a=1 b=2 --set c=3 --x={a: 1}",
        ["--x={a:", "1}"],
    ),
    ("a.py b.yaml --pruning m.yaml --brai x", ["--brai", "x"]),
]


def parse(words):
    parser = Parser()
    run.add_arguments(parser)
    return run._split(parser.parse_args(words))


@pytest.mark.parametrize("case", range(len(SPLITS)))
def test_other_options_go_to_the_script(case):
    words, script_gets = SPLITS[case]
    own, overrides = parse(words.split())
    assert overrides == script_gets
    assert (own.script, own.yaml, own.pruning) == ("a.py", "b.yaml", "m.yaml")


def test_settings_of_all_options_are_joined():
    words = "--set a=1 -- s y --set b=2 --pathways en --pathways fr"
    own, _ = parse(words.split())
    assert own.set == ["a=1", "b=2"] and own.pathways == ["en", "fr"]


def test_nothing_may_be_excluded():
    own, overrides = parse("a.py b.yaml --exclude --lr=1".split())
    assert own.exclude == [] and overrides == ["--lr=1"]


def test_script_finds_what_python_gives_it(tmp_path, capsys):
    (tmp_path / "beside.py").write_text("NAME = 'found'\n")
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, beside\n"
        "assert __name__ == '__main__' and __file__ == sys.argv[0]\n"
        "print(beside.NAME, sys.argv[1:])\n"
    )
    before = sys.argv, list(sys.path)
    script_module.run_script(script, ["b.yaml", "--lr"])
    assert capsys.readouterr().out == "found ['b.yaml', '--lr']\n"
    assert (sys.argv, sys.path) == before


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("{}['wav2vec_opt_class']", UserError, "key `wav2vec_opt_class`"),
        (
            "from types import SimpleNamespace as N\nN().opt_class",
            UserError,
            "key `opt_class`",
        ),
        (
            "raise KeyError(\"Override 'lrr' not found in: ['a', 'lr']\")",
            UserError,
            r"The recipe has no key 'lrr' \(nearest: lr\)\.",
        ),
        (
            "text = \"'lr' is a !PLACEHOLDER and must be replaced.\"\n"
            "raise ValueError(text)",
            UserError,
            r"b.yaml must be given a value for `lr`, got none \(--lr=..\)\.",
        ),
        ("{}['other']", KeyError, "other"),
        ("raise ValueError('other')", ValueError, "^other$"),
        ("raise KeyError", KeyError, "^$"),
        ("object().other", AttributeError, "other"),
        ("raise SystemExit(3)", SystemExit, "3"),
    ],
)
def test_errors_of_scripts(tmp_path, text, kind, sentence):
    script = tmp_path / "train.py"
    script.write_text(text)
    with pytest.raises(kind, match=sentence):
        script_module.run_script(script, ["b.yaml"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run no.py {y} --pruning m", "The script must be a file"),
        ("run {y} no.yaml --pruning m", "The YAML must be a file"),
        ("run {y} {y}", "`--pruning` must name a method"),
        ("run {y} {y} --pruning m --set a", "`--set` must be key=value"),
        ("run --pruning lap {y} {y} --pruning imp", "once, got lap and imp"),
        ("run {y} {y} --total_steps many", "--total_steps: invalid int value"),
        ("run {y}.yaml {y} --pruning lap", "script must stand before its YAML"),
        ("run {y}", "required: yaml"),
    ],
)
def test_bad_command_lines(tmp_path, capsys, words, sentence):
    file = tmp_path / "file"
    for name in ("file", "file.yaml"):
        (tmp_path / name).write_text("")
    with pytest.raises(SystemExit, match="2"):
        main(words.format(y=file).split())
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and sentence in error
    assert len(error.splitlines()) == 1
