"""Pieces of Python, YAML and diffs in the pages do what they say.

Each page and language with such pieces has its check here, or names the tests
that check them; a page without one makes this fail.
"""

import builtins
import fnmatch
import textwrap

import pytest
import speechbrain as sb
import torch
from hyperpyyaml import load_hyperpyyaml
from pages import ROOT, blocks_in, pages

from leanbrain.masking import MaskSet, select_targets
from leanbrain.pruning.methods import load_method

FOUND = {}
for page in pages():
    for block in blocks_in(page):
        key = block.page, block.language
        FOUND.setdefault(key, []).append(block.text)


class Names(dict):
    """What a piece of Python finds: a recipe's Brain, of any name, is small."""

    def __missing__(self, name):
        if hasattr(builtins, name):
            raise KeyError(name)
        return sb.Brain(
            {"model": torch.nn.Linear(4, 4)},
            lambda parameters: torch.optim.SGD(parameters, 0.1),
            {},
            {"noprogressbar": True},
        )


class Model(torch.nn.Module):
    """Two layers over features [B, T, 80]."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(80, 8)
        self.ctc_lin = torch.nn.Linear(8, 5)

    def forward(self, feats):
        return self.ctc_lin(self.first(feats).relu())


def added(diff):
    """The lines that a diff puts in."""
    lines = [x[1:] for x in diff.splitlines() if x.startswith("+")]
    return "\n".join(lines) + "\n"


def removed(diff):
    """The lines that a diff takes out."""
    lines = [x[1:] for x in diff.splitlines() if x.startswith("-")]
    return "\n".join(lines) + "\n"


def check_yaml(texts, folder):
    """It can be loaded; without a cluster, on this machine."""
    for text in texts:
        assert load_hyperpyyaml(text.replace(" slurm\n", " local\n"))


def check_attach(texts, folder):
    """One line attaches a method's pruner to a Brain."""
    for text in texts:
        method = load_method(
            ROOT / "hparams/pruning/lap.yaml",
            total_steps=8,
            pathways=["all"],
        )
        known = {"hparams": {"pruning": method}, "load_method": load_method}
        exec(text, Names(known))


def check_layer(texts, folder):
    """The layer that is put in has the names of the one that is taken out."""
    for text in texts:
        before, after = (
            load_hyperpyyaml(
                textwrap.dedent(part) + "    n_neurons: 3\n    input_size: 2\n"
            )["ctc_lin"]
            for part in (removed(text), added(text))
        )
        assert before.state_dict().keys() == after.state_dict().keys()
        assert type(before) is not type(after)


def check_mask_aware(texts, folder):
    """A page that is read from the top to its end."""
    model = Model()
    masks = MaskSet.from_targets(
        select_targets({"model": model}), ["en", "ru", "uk"]
    )
    (folder / "results" / "run").mkdir(parents=True)
    masks.save(folder / "results" / "run" / "masks.pt")
    known = {"model": model, "lens": torch.ones(4)}
    for text, rows in zip(texts, (3, 4, 4), strict=True):
        known["feats"] = torch.randn(rows, 6, 80)
        exec(text, known)
    assert known["out"].shape == (3, 6, 5)


# (pages, language) -> the check, or the tests that have it.
CHECKED = {
    ("README.md", "diff"): "tests/integration/readme/test_readme_diffs.py",
    ("docs/nmf.md", "python"): "tests/integration/test_docs.py",
    ("docs/nmf.md", "yaml"): check_yaml,
    ("docs/mask_aware.md", "python"): check_mask_aware,
    ("docs/mask_aware.md", "diff"): check_layer,
    ("docs/prune_your_recipe/*", "diff"): "tests/unittests/core/test_pages.py",
    ("docs/prune_your_recipe/*", "python"): check_attach,
    ("recipes/OptimizerBenchmark/README.md", "yaml"): check_yaml,
}


def check_of(key):
    """The check of the pieces of a page in a language."""
    return [
        check
        for (pattern, language), check in CHECKED.items()
        if language == key[1] and fnmatch.fnmatch(key[0], pattern)
    ]


def test_nothing_checks_pages_that_are_not_there():
    for pattern, language in CHECKED:
        assert any(
            language == key[1] and fnmatch.fnmatch(key[0], pattern)
            for key in FOUND
        ), (pattern, language)


@pytest.mark.parametrize("key", FOUND, ids=" ".join)
def test_pieces_of_a_page(key, tmp_path, monkeypatch):
    (check,) = check_of(key) or ["none: add one to tests/commands"]
    if isinstance(check, str):
        assert (ROOT / check).is_file(), f"{key}: {check}"
        assert key[0].rpartition("/")[0] in (ROOT / check).read_text("utf-8")
        return
    monkeypatch.chdir(tmp_path)
    check(FOUND[key], tmp_path)
