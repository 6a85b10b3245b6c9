"""The pages of docs/prune_your_recipe say what the code does."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from leanbrain.__main__ import COMMANDS, _module_of, _parser_of
from leanbrain.checks import UserError
from leanbrain.commands import run
from leanbrain.commands.settings import read_settings
from leanbrain.pruning.methods import load_method
from leanbrain.shipped import find_yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "prune_your_recipe"
README = FOLDER / "README.md"
PAGES = sorted(set(FOLDER.glob("*.md")) - {README})
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
OVERRIDES = re.compile(r"(--\w+(=| )[^- ]\S* ?)*")
INLINE = re.compile(r"`([^`]+)`")


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "host")
    return importlib.import_module("check_pages")


def blocks(text, kind):
    return [body for found, body in BLOCK.findall(text) if found == kind]


def commands(text):
    """The command lines of `leanbrain`, in blocks and within lines."""
    prose = " ".join(BLOCK.sub("", text).split())
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    lines += INLINE.findall(prose)
    words = [shlex.split(x) for x in lines if x.startswith("leanbrain ")]
    return [w[1:] for w in words if len(w) > 2]


def parse(words):
    """Parses as the command does; checks what it says of a method."""
    name = words[0]
    parser = _parser_of(name, _module_of(name))
    options, rest = parser.parse_known_args(words[1:])
    if name == "hparams":
        assert not rest and all(find_yaml("pruning", x) for x in options.names)
        return None, {}, []
    if name == "export-pathways":
        assert not rest
        return None, {}, options.pathways
    if name != "run":
        assert OVERRIDES.fullmatch(" ".join(rest)) or not rest, rest
        settings = read_settings(options.set or [])
        return options.pruning, settings, options.pathways or ["all"]
    assert not rest, rest
    own, overrides = run._split(options)
    assert own.script.endswith(".py"), words
    assert own.yaml.endswith(".yaml"), words
    assert OVERRIDES.fullmatch(" ".join(overrides)), overrides
    return own.pruning, read_settings(own.set or []), own.pathways or ["all"]


def test_every_family_has_its_page():
    assert [page.stem for page in PAGES] == [
        "branchformer",
        "conformer",
        "crdnn",
        "enhancement",
        "lm",
        "separation",
        "ssl",
        "transducer",
        "tts",
        "wav2vec2",
        "whisper",
        "xvector_ecapa",
    ]
    linked = re.findall(r"\]\((\w+\.md)\)", README.read_text())
    assert {page.name for page in PAGES} <= set(linked)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_changes_ten_lines_or_one(page, pages):
    text = page.read_text()
    (diff,) = pages.read_diffs(text)
    assert len(blocks(text, "diff")) == 1
    assert 0 < diff.changed <= pages.LIMIT == 10
    assert f"recipes/{diff.path.removeprefix('recipes/')}" in text
    assert pages.key_of(diff).endswith(("opt_class", "Adam", "optimizer"))
    (python,) = blocks(text, "python")
    (line,) = python.splitlines()
    assert ".attach(" in line


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_links_and_methods_exist(page):
    text = page.read_text()
    files = re.findall(r"(?<!\w)(?:hparams/)?pruning/(\w+\.yaml)", text)
    assert files or page == README
    for name in files:
        assert (ROOT / "hparams" / "pruning" / name).is_file(), name
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_commands_parse(page):
    found = commands(page.read_text())
    assert found
    for words in found:
        method, settings, pathways = parse(words)
        if method is None:
            assert words[0] in ("export-pathways", "hparams", "inspect")
            continue
        pruner = load_method(
            method,
            total_steps=1000,
            pathways=pathways,
            **settings,
        )["pruner"]
        assert pruner.pathways[0] in pathways


def test_commands_are_those_that_exist():
    named = {
        words[0] for p in [README, *PAGES] for words in commands(p.read_text())
    }
    own = {"export-pathways", "hparams", "inspect", "run"}
    assert named == own <= set(COMMANDS)


def test_a_wrong_setting_would_be_seen():
    words = shlex.split("run train.py a.yaml --pruning lap --set sparity=1")
    method, settings, _ = parse(words)
    with pytest.raises(UserError, match="sparity"):
        load_method(method, total_steps=9, pathways=["a"], **settings)


DIFF = """```diff
--- a/r/train.yaml
+++ b/r/train.yaml
@@ -1,4 +1,5 @@
 lr: 1

-opt: !name:Adam
+dense: !name:Adam
+opt: !new:leanbrain.pruning.PrunedOptimizer
     lr: 2
```
"""


def test_a_diff_is_applied_where_it_fits(pages):
    (diff,) = pages.read_diffs(DIFF)
    assert (diff.path, diff.changed) == ("r/train.yaml", 3)
    assert pages.key_of(diff) == "opt"
    before = "lr: 1\n\nopt: !name:Adam\n    lr: 2\n"
    assert diff.apply(f"a: 0\n{before}b: 0\n") == (
        "a: 0\nlr: 1\n\ndense: !name:Adam\n"
        "opt: !new:leanbrain.pruning.PrunedOptimizer\n    lr: 2\nb: 0\n"
    )
    for text in ("", before * 2):
        with pytest.raises(ValueError, match="these lines once"):
            diff.apply(text)


def test_missing_clone_is_one_sentence(pages, monkeypatch):
    monkeypatch.delenv("SPEECHBRAIN_REPO", raising=False)
    with pytest.raises(UserError, match="`SPEECHBRAIN_REPO` must be a clone"):
        pages.main([])
