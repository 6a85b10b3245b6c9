"""The diffs of the README make a stock recipe do what it says."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leanbrain.__main__ import main

STOCK = Path(__file__).parent / "stock"
LANGUAGES = ("en", "fr", "it", "nl")


@pytest.fixture(scope="module")
def diffs(repo_root):
    """The diffs of the README by the section that they stand in."""
    sys.path.insert(0, str(repo_root / "tests" / "host"))
    pages = importlib.import_module("check_pages")
    text = (repo_root / "README.md").read_text(encoding="utf-8")
    sections = re.split(r"^## (.*)\n", text, flags=re.M)
    titles, bodies = sections[1::2], sections[2::2]
    return {
        title: pages.read_diffs(body)
        for title, body in zip(titles, bodies, strict=True)
    }


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Twelve seconds of noise in four languages."""
    import soundfile

    folder = tmp_path_factory.mktemp("manifests")
    noise = torch.Generator().manual_seed(1)
    for split, count in (("train", 6), ("valid", 2), ("test", 2)):
        rows = ["ID,duration,wav,lang,wrd"]
        for number in range(count * len(LANGUAGES)):
            language = LANGUAGES[number % len(LANGUAGES)]
            name = f"{split}{number}"
            seconds = 0.25 + 0.05 * (number % 3)
            wav = 0.1 * torch.randn(int(8000 * seconds), generator=noise)
            soundfile.write(folder / f"{name}.wav", wav.numpy(), 8000)
            file = folder / f"{name}.wav"
            rows.append(f"{name},{seconds},{file},{language},abc")
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


def changed(diffs, folder, *numbers):
    """A stock recipe with some diffs and other numbers."""
    shutil.copytree(STOCK, folder)
    for diff in diffs:
        file = folder / diff.path
        text = diff.apply(file.read_text())
        for old, new in numbers:
            text = text.replace(old, new)
        file.write_text(text)
    return folder


def run(recipe, manifests, *words):
    """Runs the script as its user does; returns what it prints."""
    done = subprocess.run(
        [
            *(sys.executable, "train.py", "hparams/train.yaml"),
            *("--data_folder", str(manifests), "--output_folder", "out"),
            *("--device", "cpu", "--noprogressbar", *words),
        ],
        cwd=recipe,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (loss,) = re.findall(r"^test loss: .*$", done.stdout, re.M)
    return loss


def test_pathways_and_what_comes_out_of_them(
    diffs, manifests, tmp_path, capsys
):
    recipe = changed(
        diffs["Pathways in your own recipe"][:2],
        tmp_path / "recipe",
        ("total_steps: 20000", "total_steps: 8"),
        ("batches_per_epoch=500", "batches_per_epoch=4"),
        ("max_batch_s=60", "max_batch_s=1"),
    )
    copy = ["hparams", "adaptive", "--copy", str(recipe / "hparams/pruning")]
    assert main(copy) == 0
    run(recipe, manifests)
    capsys.readouterr()
    assert main(["export-pathways", str(recipe / "out")]) == 0
    told = capsys.readouterr().out
    assert "step 8, the only checkpoint with final masks" in told
    # The other one is the best, of the first epoch, when less was pruned.
    checkpoint = max((recipe / "out" / "save").glob("CKPT*"))
    union = torch.load(checkpoint / "model.ckpt", weights_only=True)
    keys = [key for key in union if ".rnn.weight" in key]
    for language in LANGUAGES:
        folder = recipe / "out" / "pathways" / language
        names = {x.name for x in folder.iterdir()}
        assert names == {"model.ckpt", "normalizer.ckpt", "pathway.json"}
        weights = torch.load(folder / "model.ckpt", weights_only=True)
        flat, whole = (
            torch.cat([x[key].flatten() for key in keys])
            for x in (weights, union)
        )
        kept = flat != 0
        assert float(kept.float().mean()) == pytest.approx(0.3, abs=0.01)
        assert torch.equal(flat[kept], whole[kept])
    # The stock recipe evaluates one in place of its own model.
    stock = shutil.copytree(STOCK, tmp_path / "stock")
    shutil.copytree(recipe / "out" / "save", stock / "out" / "save")
    *others, own = sorted((stock / "out" / "save").glob("CKPT*"))
    for other in others:
        shutil.rmtree(other)
    shutil.copy(folder / "model.ckpt", own / "model.ckpt")
    for name in ("pruner.ckpt", "dataloader-TRAIN.ckpt"):
        (own / name).unlink()
    run(stock, manifests)


def test_a_single_pathway_by_yaml_alone(diffs, manifests, tmp_path, capsys):
    recipe = changed(
        diffs["Pathways in your own recipe"][2:],
        tmp_path / "recipe",
        ("total_steps: 20000", "total_steps: 8"),
        ("interval: 100", "interval: 1"),
    )
    run(recipe, manifests)
    assert main(["export-pathways", str(recipe / "out")]) == 0
    assert "step 12, the only checkpoint with final" in capsys.readouterr().out
    file = recipe / "out" / "pathways" / "all" / "model.ckpt"
    weights = torch.load(file, weights_only=True)["0.rnn.weight_hh_l0"]
    share = float((weights == 0).float().mean())
    assert share == pytest.approx(0.7, abs=0.01)


def test_learned_features_are_in_the_checkpoint(diffs, manifests, tmp_path):
    recipe = changed(diffs["Learned features"], tmp_path / "recipe")
    first = run(recipe, manifests)
    (file,) = (recipe / "out" / "save").glob("CKPT*/compute_features.ckpt")
    state = torch.load(file, weights_only=True)
    updates = [v for k, v in state.items() if k.endswith("updates")]
    assert updates and all(bool((x > 0).all()) for x in updates)
    # A second run evaluates with the same dictionary.
    assert run(recipe, manifests) == first
