"""build_modules: only what modules need, alone, with reasons in words."""

import os
import socket
import sys

import pytest
import torch
from torch import nn

from leanbrain.checks import UserError
from leanbrain.recipes.building import build_modules
from leanbrain.recipes.isolation import NoNetwork, no_network, uninitialised

ONLINE = socket.getaddrinfo, socket.socket.connect

# Beside the recipe, as scripts keep their own classes.
CLASSES = """
import os, urllib.request
from torch import nn

class Cached(nn.Module):
    '''A model of a hub.'''
    def __init__(self, source):
        super().__init__()
        if not os.path.exists(source):
            raise OSError("We couldn't connect to 'https://huggingface.co'")

    @classmethod
    def from_pretrained(cls, name):
        return cls(name)

class Online(nn.Module):
    def __init__(self, source):
        super().__init__()
        urllib.request.urlopen(source)

class Reader(nn.Module):
    def __init__(self, path):
        super().__init__()
        open(path).close()

class Needy(nn.Module):
    def __init__(self):
        import no_such_package

class Chatty(nn.Module):
    def __init__(self):
        super().__init__()
        print("Hello")
        self.offline = os.environ["HF_HUB_OFFLINE"]

class Broken(nn.Module):
    def __init__(self):
        raise ValueError("two words\\nand more.")
"""

TINY = """
data_folder: !PLACEHOLDER
output_folder: !ref <data_folder>/out
made: !apply:os.makedirs [!ref <output_folder>]
logger: !new:no.such.Logger
size: 3
width: !ref <size> * 2
sizes: {in: 4, out: 5}
rnn: !new:torch.nn.GRU
    input_size: !ref <sizes[in]>
    hidden_size: !ref <width>
shared: !new:torch.nn.Linear
    in_features: !ref <width>
    out_features: !ref <sizes[out]>
modules:
    rnn: !ref <rnn>
    head: !ref <shared>
    again: !new:torch.nn.Sequential [!ref <shared>]
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes recipes into a folder with classes of their own."""
    (tmp_path / "hparams").mkdir()
    # A name of its own: Python keeps modules by name.
    (tmp_path / "own_classes.py").write_text(CLASSES)

    def write(text):
        path = tmp_path / "hparams" / "recipe.yaml"
        path.write_text(text)
        return path

    yield write
    sys.modules.pop("own_classes", None)


def shapes(module):
    return {n: tuple(x.shape) for n, x in module.state_dict().items()}


def test_builds_what_modules_refer_to_and_nothing_else(recipe, tmp_path):
    built = build_modules(recipe(TINY))
    assert list(built.modules) == ["rnn", "head", "again"]
    assert built.failed == {}
    assert shapes(built.modules["rnn"]) == shapes(nn.GRU(4, 6))
    assert built.modules["again"][0] is built.modules["head"]
    made = sorted(x.name for x in tmp_path.rglob("*") if x.suffix != ".pyc")
    assert made == ["hparams", "own_classes.py", "recipe.yaml"]


def test_overrides_reach_what_refers_to_them(recipe):
    built = build_modules(recipe(TINY), {"size": 1, "sizes": {"out": 7}})
    assert shapes(built.modules["rnn"]) == shapes(nn.GRU(4, 2))
    assert shapes(built.modules["head"]) == shapes(nn.Linear(2, 7))


def test_a_mapping_can_fill_a_placeholder(recipe):
    text = TINY.replace("{in: 4, out: 5}", "!PLACEHOLDER")
    built = build_modules(recipe(text), {"sizes": {"in": 2, "out": 1}})
    assert built.modules["head"].out_features == 1


def test_modules_may_be_a_module_dict(recipe):
    text = "modules: !new:torch.nn.ModuleDict\n    - a: !new:torch.nn.ReLU\n"
    assert list(build_modules(recipe(text)).modules) == ["a"]


def test_null_is_a_module_that_is_not_there(recipe):
    built = build_modules(recipe(TINY + "    none: null\n"))
    assert list(built.modules) == ["rnn", "head", "again"]
    assert built.failed == {}


def test_weights_are_not_drawn(recipe):
    path = recipe(
        "modules:\n"
        "    a: !new:torch.nn.Linear [3, 4]\n"
        "    b: !new:torch.nn.LSTM [3, 4]\n"
        "    c: !new:torch.nn.MultiheadAttention [8, 2]\n"
        "    d: !new:torch.nn.BatchNorm1d [4]\n"
    )
    before = torch.get_rng_state()
    modules = build_modules(path).modules
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(modules["d"].running_var, torch.ones(4))
    nn.Linear(3, 4)
    assert not torch.equal(before, torch.get_rng_state())


def test_orthogonal_weights_are_not_drawn_either():
    weight = torch.eye(3)
    with uninitialised():
        assert nn.init.orthogonal_(weight) is weight
    assert torch.equal(weight, torch.eye(3))
    assert not torch.equal(nn.init.orthogonal_(weight), torch.eye(3))


@pytest.mark.parametrize(
    ("made_by", "why"),
    [
        ("!new:torch.nn.Lineal", "ImportError: There is no such class as tor"),
        ("!new:nosuch.Layer", "needs the package nosuch"),
        (
            "!new:own_classes.Cached\n        source: a/b",
            "needs a download: a/b",
        ),
        (
            "!new:own_classes.Online\n        source: !ref <hub>/c",
            "needs a download: http://127.0.0.1:9/c",
        ),
        (
            "!apply:own_classes.Cached.from_pretrained [a/b]",
            "needs a download: a/b",
        ),
        ("!new:own_classes.Reader [no/file]", "needs the file no/file"),
        (
            "!new:own_classes.Reader [!ref <data_folder>/x]",
            "needs a value for `data_folder` (--data_folder=..)",
        ),
        (
            "!new:own_classes.Cached\n        source: !ref <data_folder>",
            "needs a value for `data_folder` (--data_folder=..)",
        ),
        ("!new:own_classes.Needy", "needs the package no_such_package"),
        ("!new:own_classes.Broken", "ValueError: two words and more"),
        ("just a text", "is no module but str"),
    ],
)
def test_what_cannot_be_built_is_told_and_the_rest_is_built(
    recipe, made_by, why
):
    path = recipe(f"hub: http://127.0.0.1:9\n{TINY}    bad: {made_by}\n")
    built = build_modules(path)
    assert list(built.failed) == ["bad"]
    assert built.failed["bad"].startswith(why)
    assert list(built.modules) == ["rnn", "head", "again"]
    assert built.modules["again"][0] is built.modules["head"]


def test_models_on_the_disk_are_built(recipe, tmp_path):
    text = "modules:\n    hub: !new:own_classes.Cached\n        source: {}\n"
    assert not build_modules(recipe(text.format(tmp_path))).failed


def test_is_silent_and_offline_and_leaves_no_trace(recipe, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    before = list(sys.path)
    path = recipe(
        "modules:\n    a: !new:own_classes.Chatty\n"
        "    b: !new:own_classes.Broken\n"
    )
    built = build_modules(path)
    assert built.modules["a"].offline == "1"
    assert capsys.readouterr().out == ""
    assert sys.path == before
    assert (socket.getaddrinfo, socket.socket.connect) == ONLINE
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert "TRANSFORMERS_OFFLINE" not in os.environ


def test_a_library_that_is_loaded_is_told_too(monkeypatch):
    constants = type(sys)("huggingface_hub.constants")
    constants.HF_HUB_OFFLINE = False
    monkeypatch.setitem(sys.modules, constants.__name__, constants)
    with pytest.raises(NoNetwork, match="no network"), no_network():
        assert constants.HF_HUB_OFFLINE is True
        socket.create_connection(("127.0.0.1", 9))
    assert constants.HF_HUB_OFFLINE is False


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("a: 1\n", {}, "must have the key `modules`"),
        ("- a\n", {}, "must hold `key: value` lines"),
        ("a: [1\n", {}, "must be YAML"),
        (TINY, {"sizex": 2}, "The recipe has no key 'sizex' .nearest: size"),
        (TINY, {"size": {"a": 2}}, "can only change keys .* are mappings"),
        ("modules: 3\n", {}, "cannot be built: .*modules by name, got int"),
        (
            TINY.replace("size: 3", "size: !PLACEHOLDER"),
            {},
            "need a value for `size`, got none; give --size=..",
        ),
        (
            TINY.replace("{in: 4, out: 5}", "[!PLACEHOLDER ]"),
            {},
            "need a value for `sizes`",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(recipe, text, overrides, said):
    with pytest.raises(UserError, match=said):
        build_modules(recipe(text), overrides)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="none.yaml does not exist"):
        build_modules(tmp_path / "none.yaml")
