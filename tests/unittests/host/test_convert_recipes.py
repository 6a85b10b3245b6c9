"""The share of recipes that convert, on recipes of a few lines."""

import json
import os
import sys
import time

import pytest

from leanbrain.checks import UserError

CLASSES = """
import os
import torch
from torch import nn

class Raw(nn.Linear):
    def __init__(self):
        super().__init__(3, 4)
        self.table = nn.Parameter(torch.ones(3, 4))

    def forward(self, x):
        return super().forward(x @ self.table)

class FromHub(nn.Linear):
    def __init__(self, source):
        super().__init__(3, 4)
        if not os.path.isdir(source):
            raise OSError("We couldn't connect to 'https://huggingface.co'")

class Broken(nn.Module):
    def __init__(self):
        raise ValueError("no such size")
"""
LINEAR = "    lin: !new:torch.nn.Linear [3, 4]\n"
RECIPES = {
    "fine": f"bos: !PLACEHOLDER\nmodules:\n{LINEAR}"
    "    out: !new:torch.nn.Linear [!ref <bos>, 4]\n",
    "raw": "modules:\n    raw: !new:convert_classes.Raw\n",
    "hub": "hub: !ref microsoft/WavLM-large\nmodules:\n"
    "    hub: !new:convert_classes.FromHub\n        source: !ref <hub>\n",
    "broken": f"modules:\n{LINEAR}    bad: !new:convert_classes.Broken\n",
    "norms": "modules:\n    norm: !new:torch.nn.LayerNorm [4]\n",
    "scoring": "lin: !new:torch.nn.Linear [3, 4]\n",
}


@pytest.fixture
def convert(script, tmp_path, monkeypatch):
    """The script on a clone with some recipes; runs it, returns its results."""
    module = script("convert_recipes")
    folder = tmp_path / "recipes" / "Mini" / "ASR" / "CTC"
    (folder / "hparams").mkdir(parents=True)
    (folder / "convert_classes.py").write_text(CLASSES)
    (tmp_path / "tiny" / "wavlm").mkdir(parents=True)
    monkeypatch.setenv("SPEECHBRAIN_REPO", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # In this process: pytest's has threads, which a copy must not compute in.
    monkeypatch.setattr(
        module, "run_forked", lambda work, task, limit_s: (work(task), None)
    )
    monkeypatch.setattr(module, "small_models", lambda *_: None)

    def run(names, *options):
        for name in names:
            path = folder / "hparams" / f"{name}.yaml"
            path.write_text(RECIPES[name])
        kept = tmp_path / "kept.json"
        monkeypatch.setattr(sys, "argv", ["x", f"--json={kept}", *options])
        code = module.main()
        # Recipes are examined in folders of their own, which are gone.
        os.chdir(tmp_path)
        result = json.loads(kept.read_text())
        found = {
            x["recipe"].removeprefix("Mini/ASR/CTC/hparams/")[:-5]: x
            for x in result["recipes"]
        }
        return code, result, found

    run.module, run.folder = module, tmp_path
    yield run
    sys.modules.pop("convert_classes", None)


def test_a_recipe_that_loses_nothing_is_covered(convert, capsys):
    code, result, found = convert(["fine"])
    assert code == 0 and result["without_download"] == {
        "share": 1.0,
        "covered": 1,
        "counted": 1,
    }
    assert found["fine"]["status"] == "covered"
    # Placeholders are numbers: a layer of 10 x 4 weights.
    assert (found["fine"]["layers"], found["fine"]["weights"]) == (2, 52)
    output = capsys.readouterr()
    assert "fine.yaml\n  covered: 2 layers, 2 targets, 0 lost" in output.out
    assert "100.0% lose no target (1 of 1; goal 95%)" in output.out
    assert "[1/1]" in output.err


def test_a_raw_parameter_is_lost_with_its_name(convert, capsys):
    code, result, found = convert(["fine", "raw"])
    assert code == 1 and result["without_download"]["share"] == 0.5
    lost = found["raw"]["lost"]
    assert list(lost) == ["raw.weight", "raw.table"]
    assert lost["raw.table"] == "Raw uses it in a `forward` that is not known"
    output = capsys.readouterr()
    assert "    lost: raw.table: Raw uses it in" in output.out
    assert "50.0% lose no target (1 of 2" in output.out
    assert "[1/2, 1 s left]" in output.err


def test_a_recipe_that_needs_a_download_is_not_counted(convert, capsys):
    code, result, found = convert(["fine", "hub"])
    assert code == 0 and result["without_download"]["counted"] == 1
    assert result["small_models"]["share"] is None
    assert found["hub"]["status"] == "missing" and "small" not in found["hub"]
    why = "needs a download: microsoft/WavLM-large"
    assert found["hub"]["not_built"] == {"hub": why}
    assert f"    not built: hub: {why}" in capsys.readouterr().out


def test_a_small_model_takes_the_place_of_a_download(convert, monkeypatch):
    tiny = convert.folder / "tiny"
    monkeypatch.setattr(convert.module, "small_models", lambda *_: tiny)
    code, result, found = convert(["fine", "hub"])
    assert code == 0 and result["without_download"]["counted"] == 1
    assert result["small_models"] == {"share": 1.0, "covered": 1, "counted": 1}
    assert found["hub"]["small"]["status"] == "covered"
    assert "small" not in found["fine"]


def test_what_breaks_for_no_good_reason_counts_against_us(convert):
    code, result, found = convert(["fine", "broken"])
    assert code == 1 and result["without_download"]["share"] == 0.5
    assert found["broken"]["status"] == "failed"
    assert found["broken"]["not_built"] == {"bad": "ValueError: no such size"}


def test_what_trains_no_weights_is_not_counted(convert):
    code, result, found = convert(["fine", "norms", "scoring"])
    assert code == 0 and list(found) == ["fine", "norms"]
    assert found["norms"]["status"] == "nothing to mask"
    assert result["without_download"]["counted"] == 1


def test_the_table_is_pasted_into_a_page(convert):
    page = convert.folder / "page.md"
    page.write_text("a\n<!-- convert -->\nold\n<!-- end -->\nz\n")
    convert(["fine", "raw", "hub"], f"--markdown={page}")
    text = page.read_text()
    assert text.startswith("a\n<!-- convert -->\n| recipes | YAML files |")
    assert "\n| CTC | 3 | 2 | 1 | 0 | 0 |\n" in text and "old" not in text
    assert "raw.yaml`: `raw.weight`: Raw uses it in a" in text
    assert "hub.yaml`: not counted, `hub`: needs a download: micr" in text
    assert "fine.yaml" not in text and text.count("(and 1 more)") == 1
    assert text.endswith(".\n<!-- end -->\nz\n")


def test_what_is_wrong_is_one_sentence(convert, monkeypatch):
    with pytest.raises(UserError, match="recipes of the family 'TTS', got"):
        convert(["fine"], "--family=TTS")
    page = convert.folder / "page.md"
    page.write_text("<!-- convert -->")
    with pytest.raises(UserError, match="`<!-- end -->` behind it, got 0"):
        convert(["fine"], f"--markdown={page}")
    monkeypatch.delenv("SPEECHBRAIN_REPO")
    with pytest.raises(UserError, match="must name a clone, got none"):
        convert(["fine"])


def crash(_):
    os._exit(3)


def leave(_):
    sys.exit("enough")


def hang(_):
    time.sleep(600)


@pytest.mark.parametrize(
    ("function", "limit_s", "why_not"),
    [
        (crash, 600, "its process ended with exit code 3"),
        (leave, 600, "SystemExit: enough"),
        (hang, 0.1, "not done after 0.1 s"),
    ],
)
def test_a_process_that_crashes_exits_or_hangs(
    script, function, limit_s, why_not
):
    answer = script("forked").run_forked(function, 1, limit_s)
    assert answer == (None, why_not)


def test_a_process_of_its_own_answers_and_prints_nothing(script, capfd):
    def work(number):
        print("Hello", flush=True)
        return {"pid": os.getpid(), "twice": 2 * number}

    answer, why_not = script("forked").run_forked(work, 21, 600)
    assert answer["twice"] == 42 and answer["pid"] != os.getpid()
    assert why_not is None and capfd.readouterr().out == ""
