"""The code in the documentation runs as it stands."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("espeakng_loader", reason="needs the extra `demo`")


@pytest.fixture(scope="module")
def tutorial(repo_root, tmp_path_factory):
    """What the tutorial prints, and the folder that it ran in."""
    text = (repo_root / "docs" / "nmf.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) > 5
    folder = tmp_path_factory.mktemp("tutorial")
    script = folder / "tutorial.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, folder


def test_it_prints_what_it_promises(tutorial):
    out, _ = tutorial
    assert "the same: True" in out
    assert "torch.Size([129, 32])" in out


def test_denoising_gains(tutorial):
    before, after = re.search(r"(-?[\d.]+) dB -> (-?[\d.]+) dB", tutorial[0])[
        0
    ].split(" -> ")
    gain = float(after.split()[0]) - float(before.split()[0])
    assert gain > 2.0


def test_it_draws(tutorial):
    _, folder = tutorial
    for name in ("atoms", "activations"):
        content = (folder / "results" / "nmf" / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 10_000


def test_links_lead_somewhere(repo_root):
    for page in [*(repo_root / "docs").glob("*.md"), repo_root / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
