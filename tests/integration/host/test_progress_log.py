"""Every way to attach a pruner says the same and draws the same curves."""

import logging
import re
import runpy
import sys
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from leanbrain.__main__ import main
from leanbrain.hyperyaml import as_first_load

STOCK = Path(__file__).parent / "stock"
METHODS = Path(__file__).resolve().parents[3] / "hparams" / "pruning"
QUIET = ["--device", "cpu", "--noprogressbar"]
METHOD = f"""
pruning: !include:{METHODS}/adaptive.yaml
    total_steps: 16
    pathways: [all]
    interval: 2
    sparsity: 0.6
    initial_sparsity: 0.2
"""
ATTACH = '    hparams["pruning"]["pruner"].attach(brain)\n    loading = {'
OPT_CLASS = """
plain_opt_class: !ref <opt_class>
pruned: !new:leanbrain.pruning.PrunedOptimizer
    opt_class: !ref <opt_class>
    pruner: !ref <pruning[pruner]>
    modules: !ref <modules>
    checkpointer: !ref <checkpointer>
"""


def by_run(folder, out, *words):
    """`leanbrain run`: nothing is edited."""
    settings = ["interval=2", "sparsity=0.6", "initial_sparsity=0.2"]
    script, yaml = str(STOCK / "train.py"), str(STOCK / "train.yaml")
    words = ["--output_folder", str(out), *words, *QUIET]
    asked = ["--pruning", "adaptive", "--set", *settings]
    assert main(["run", script, yaml, *asked, *words]) == 0


def edited(folder, out, words, method, script):
    """Runs the script with a method in its YAML."""
    folder.mkdir(exist_ok=True)
    yaml = (STOCK / "train.yaml").read_text() + METHOD + method
    (folder / "train.yaml").write_text(yaml)
    (folder / "train.py").write_text(script)
    arguments = [folder / "train.yaml", "--output_folder", out, *words, *QUIET]
    # As in a process of its own.
    with pytest.MonkeyPatch.context() as patch, as_first_load():
        patch.setattr(sys, "argv", ["train.py", *map(str, arguments)])
        runpy.run_path(str(folder / "train.py"), run_name="__main__")


def by_attach(folder, out, *words):
    """One line of Python."""
    text = (STOCK / "train.py").read_text()
    script = text.replace("    loading = {", ATTACH)
    assert script != text
    edited(folder, out, words, "", script)


def by_yaml(folder, out, *words):
    """`opt_class` alone."""
    text = (STOCK / "train.py").read_text()
    script = text.replace('hparams["opt_class"]', 'hparams["pruned"]')
    assert script != text
    edited(folder, out, words, OPT_CLASS, script)


WAYS = [by_run, by_attach, by_yaml]
ENDS = [
    r"Curves: tensorboard --logdir .*",
    r"Sparsity from 20.00% to 60.00%: masks change until step 10 of 16 and are"
    r" final then\.",
    r"Prunes 2 of 6 parameters with 336 of 402 weights; left dense: .*",
    r"Mask updates end at step 10 of 16: sparsity 60.12%, masks are final\.",
    r"Step 16 of 16: removed of 336 weights in 2 targets: all 60.12%; masks are"
    r" final\. Counted in the model\.",
]
EPOCHS = r"at step (\d+) of 16: sparsity (\S+)%, masks "


def curves(folder):
    """Tag -> points (step, value), as TensorBoard shows them."""
    board = EventAccumulator(str(folder / "tensorboard_pruning"))
    board.Reload()
    return {
        tag: [(x.step, round(x.value, 4)) for x in board.Scalars(tag)]
        for tag in board.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Way -> lines of the log, and curves."""
    found = {}
    for way in WAYS:
        folder = tmp_path_factory.mktemp(way.__name__)
        lines = Lines()
        logging.getLogger("leanbrain").addHandler(lines)
        try:
            way(folder / "edited", folder / "out")
        finally:
            logging.getLogger("leanbrain").removeHandler(lines)
        found[way] = lines.said, curves(folder / "out")
    return found


class Lines(logging.Handler):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_what_is_planned_and_what_came_out(told, way):
    said, _ = told[way]
    for line in ENDS:
        assert [x for x in said if re.fullmatch(line, x)] == [
            x for x in said if re.match(line[:12], x)
        ], line
        assert any(re.fullmatch(line, x) for x in said), (line, said)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_says_the_sparsity_of_each_epoch(told, way):
    """In YAML alone nobody knows the epoch: validation tells it."""
    said, _ = told[way]
    what = "Training pauses" if way is by_yaml else r"Epoch \d ends"
    epochs = [m for x in said if (m := re.match(f"{what} {EPOCHS}", x))]
    assert [int(m[1]) for m in epochs] == [4, 8, 12, 16]
    shares = [float(m[2]) for m in epochs]
    assert 20 < shares[0] < shares[1] < shares[2] <= shares[3] == 60.12


def test_every_way_draws_the_same_curves(told):
    (_, first), *others = told.values()
    real = dict(first["pruning/sparsity/real"])
    planned = dict(first["pruning/sparsity/planned"])
    assert max(real) == 16 and real[16] == real[10] == 0.6012
    assert abs(planned[8] - real[8]) < 0.01 < abs(planned[16] - planned[4])
    density = dict(first["pruning/density/all"])
    assert all(abs(1 - density[step] - real[step]) < 2e-4 for step in real)
    for _, other in others:
        for tag in ("pruning/sparsity/real", "pruning/sparsity/planned"):
            steps = {s for s, _ in other[tag]}
            assert {8, 10, 12, 16} <= steps
            for step in (8, 12, 16):
                assert dict(other[tag])[step] == dict(first[tag])[step]


@pytest.mark.parametrize("way", WAYS)
def test_curves_and_log_go_on_after_a_resume(way, tmp_path, caplog):
    caplog.set_level(logging.INFO, "leanbrain")
    with pytest.raises(RuntimeError, match="the power failed"):
        way(tmp_path / "edited", tmp_path / "a", "--fail_in_epoch", "3")
    caplog.clear()
    time.sleep(1.1)  # files of events are ordered by the second in their names
    way(tmp_path / "edited", tmp_path / "a")
    assert "Goes on at step 8 of 16: sparsity" in caplog.text
    way(tmp_path / "edited", tmp_path / "b")
    resumed, straight = curves(tmp_path / "a"), curves(tmp_path / "b")
    assert resumed.keys() == straight.keys()
    for tag, points in straight.items():
        steps = [step for step, _ in points]
        assert steps == sorted(steps)
        if not tag.startswith("loss/"):
            assert resumed[tag] == points, tag
        assert [step for step, _ in resumed[tag]] == steps, tag


def test_a_script_without_logging_shows_it_too(told, capsys, monkeypatch):
    """The messages are not only for those who set up Python's logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("leanbrain.pruning").info("a line")
    assert capsys.readouterr().err == "a line\n"


def test_a_run_without_a_folder_writes_nothing(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner)
    brain.fit(brain.counter, toy.loader())
    assert pruner.frozen and pruner.monitor is None
    assert not list(tmp_path.iterdir())
