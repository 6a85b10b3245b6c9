"""The monitor against slow oracles, and over kills and resumes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from leanbrain.checks import UserError
from leanbrain.loggers import TensorBoardLogger
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target
from leanbrain.pruning.monitor import monitor as module
from leanbrain.pruning.monitor import tags
from leanbrain.pruning.monitor.history import read_history
from leanbrain.pruning.monitor.monitor import PruningMonitor

PATHWAYS = ("en", "fr", "it")
SHAPES = {"a.w": (3, 5), "a.v": (4, 4), "b.w": (2, 3, 3)}
GROUPS = {"a": ["a.w", "a.v"], "b": ["b.w"]}


class Board:
    """What a TensorBoardLogger would have been told."""

    def __init__(self):
        self.scalars = {}
        self.figures = []
        self.layouts = []

    def add_scalars(self, values, step):
        for tag, value in values.items():
            self.scalars[tag, step] = value

    def add_figure(self, tag, figure, step):
        self.figures.append((tag, step, figure))

    def layout(self, layout):
        self.layouts.append(layout)

    def flush(self):
        pass


def targets():
    return [
        Target(n, torch.nn.Parameter(torch.zeros(s)), n.split(".")[0], ())
        for n, s in SHAPES.items()
    ]


def draw(masks, pathways, generator, density=0.5):
    """New random masks for some pathways."""
    for pathway, (name, shape) in itertools.product(pathways, SHAPES.items()):
        random = torch.rand(shape, generator=generator)
        masks.set(pathway, name, random < density)


def bits(masks, pathway, names=SHAPES):
    """All mask bits of a pathway, for the oracles."""
    parts = [masks.get(pathway, name).flatten() for name in names]
    return torch.cat(parts).numpy()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "history.jsonl"


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(3)


def test_update_agrees_with_the_oracle(path, generator):
    board = Board()
    monitor = PruningMonitor(board, path)
    masks = MaskSet(SHAPES, PATHWAYS)
    draw(masks, PATHWAYS, generator)
    before = masks.clone()
    draw(masks, ["en", "it"], generator, density=0.3)
    monitor.on_update(40, ["en", "it"], before, masks, targets(), 0.7)

    rows = {p: bits(masks, p) for p in PATHWAYS}
    old = {p: bits(before, p) for p in PATHWAYS}
    density = {p: x.mean() for p, x in rows.items()}
    wanted = {
        tags.SPARSITY_PLANNED: 0.7,
        tags.SPARSITY_REAL: 1 - np.mean(list(density.values())),
        tags.DENSITY_UNION: np.any(list(rows.values()), axis=0).mean(),
    }
    for p in PATHWAYS:
        wanted[f"pruning/density/{p}"] = density[p]
        for group, names in GROUPS.items():
            share = bits(masks, p, names).mean()
            wanted[f"pruning/density_group/{group}/{p}"] = share
    for p in ("en", "it"):
        wanted[f"pruning/churn/{p}"] = (rows[p] != old[p]).mean()
        wanted[f"pruning/explored/{p}"] = (rows[p] | old[p]).mean()
    for p, q in itertools.combinations(PATHWAYS, 2):
        both, either = rows[p] & rows[q], rows[p] | rows[q]
        wanted[f"pruning/overlap/{p}-{q}"] = both.sum() / either.sum()
    assert board.scalars == {
        (t, 40): pytest.approx(x) for t, x in wanted.items()
    }

    (record,) = read_history(path)
    assert (record["step"], record["kind"]) == (40, "update")
    assert record["updated"] == ["en", "it"]
    assert record["density"] == pytest.approx(density)
    assert record["pathways"] == list(PATHWAYS)
    assert record["overlap"][0][2] == record["overlap"][2][0]
    assert record["overlap"][0][2] == pytest.approx(
        wanted["pruning/overlap/en-it"]
    )


def test_overlap_is_drawn_with_its_numbers(path, generator):
    board = Board()
    masks = MaskSet(SHAPES, PATHWAYS)
    before = masks.clone()
    draw(masks, PATHWAYS, generator)
    PruningMonitor(board).on_update(5, PATHWAYS, before, masks, targets(), 0.5)
    ((tag, step, figure),) = board.figures
    assert (tag, step) == (tags.OVERLAP_PICTURE, 5)
    numbers = [x.get_text() for x in figure.axes[0].texts]
    wanted = [f"{x:.2f}" for x in masks.overlap_matrix().flatten().tolist()]
    assert numbers == wanted


def test_single_pathway_has_no_overlap_picture():
    board = Board()
    masks = MaskSet(SHAPES, ["all"])
    PruningMonitor(board).on_update(
        5, ["all"], masks.clone(), masks, targets(), 0.0
    )
    assert board.figures == []
    assert not any("overlap" in tag for tag, _ in board.scalars)


def test_explored_is_exact_over_many_updates(generator):
    monitor = PruningMonitor()
    masks = MaskSet(SHAPES, PATHWAYS)
    seen = {}
    for step in range(1, 13):
        updated = [PATHWAYS[step % 3]]
        before = masks.clone()
        draw(masks, updated, generator, density=0.1)
        monitor.on_update(step, updated, before, masks, targets(), 0.9)
        for p in updated:
            new = bits(masks, p)
            seen[p] = seen[p] | new if p in seen else new
        shares = monitor.explored.shares()
        assert shares == {p: x.mean() for p, x in seen.items()}
    assert 0.2 < min(shares.values()) < 0.9


def test_explored_leaves_the_callers_masks_alone(generator):
    monitor = PruningMonitor()
    masks = MaskSet(SHAPES, PATHWAYS)
    before = masks.clone()
    draw(masks, PATHWAYS, generator, density=0.2)
    first = masks.clone()
    monitor.on_update(1, PATHWAYS, before, masks, targets(), 0.8)
    draw(masks, PATHWAYS, generator, density=0.2)
    second = masks.digest()
    monitor.on_update(2, PATHWAYS, first, masks, targets(), 0.8)
    assert masks.digest() == second


def test_explored_takes_one_bit_per_weight_and_pathway(generator):
    monitor = PruningMonitor()
    masks = MaskSet({"w": (64, 64)}, ["en", "fr"])
    one = [Target("w", torch.nn.Parameter(torch.zeros(64, 64)), "g", ())]
    monitor.on_update(1, ["en", "fr"], masks.clone(), masks, one, 0.0)
    stored = [
        x for d in monitor.state_dict()["explored"].values() for x in d.values()
    ]
    assert sum(x.numel() * x.element_size() for x in stored) == 2 * 4096 // 8


def test_metrics_are_named_by_stage_and_language(path):
    board = Board()
    monitor = PruningMonitor(board, path)
    loss = np.float32(0.5)
    metrics = {"cer": {"en": 7, "fr": torch.tensor(9.0)}, "loss": loss}
    monitor.on_metrics(30, metrics)
    assert board.scalars == {
        ("valid/cer/en", 30): 7.0,
        ("valid/cer/fr", 30): 9.0,
        ("valid/mean_cer", 30): 8.0,
        ("valid/loss", 30): 0.5,
    }
    (record,) = read_history(path)
    assert record == {
        "step": 30,
        "kind": "metrics",
        "stage": "valid",
        "metrics": {"cer": {"en": 7.0, "fr": 9.0}, "loss": 0.5},
    }


@pytest.mark.parametrize(
    ("metrics", "name"),
    [({"cer": "low"}, "cer: 'low'"), ({"cer": {"en": None}}, "cer/en: None")],
)
def test_metrics_must_be_numbers(metrics, name):
    with pytest.raises(
        UserError, match=f"`metrics` must hold numbers, got {name}"
    ):
        PruningMonitor().on_metrics(1, metrics)


def test_losses_are_named_by_pathway(path):
    board = Board()
    PruningMonitor(board, path).on_losses(7, {"en": 2.5, "fr": 3})
    assert board.scalars == {("loss/en", 7): 2.5, ("loss/fr", 7): 3.0}
    assert read_history(path)[0]["loss"] == {"en": 2.5, "fr": 3.0}


def test_noted_losses_become_means_of_whole_intervals(path):
    monitor = PruningMonitor(None, path, loss_interval=4)
    losses = [(step, PATHWAYS[step % 2], float(step)) for step in range(10)]
    for step, pathway, loss in losses:
        monitor.note_loss(step, pathway, loss)
    # Steps 0 to 3 lead to steps 1 to 4 done; 8 and 9 wait for 10 and 11.
    assert [(x["step"], x["loss"]) for x in read_history(path)] == [
        (4, {"en": 1.0, "fr": 2.0}),
        (8, {"en": 5.0, "fr": 6.0}),
    ]


@pytest.mark.parametrize("value", [0, 2.5, "often"])
def test_loss_interval_is_checked(value):
    with pytest.raises(UserError, match="`loss_interval` must be an integer"):
        PruningMonitor(loss_interval=value)


def run(monitor, masks, steps, generator):
    """A toy training with losses, updates and validations."""
    for step in steps:
        monitor.note_loss(step, PATHWAYS[step % 3], 1.0 / (step + 1))
        done = step + 1
        if done % 3 == 0:
            before = masks.clone()
            updated = [PATHWAYS[(done // 3) % 3]]
            draw(masks, updated, generator, density=0.2)
            monitor.on_update(done, updated, before, masks, targets(), 0.8)
        if done % 5 == 0:
            monitor.on_metrics(done, {"cer": {"en": 100.0 / done}})


@pytest.mark.parametrize("stop", range(1, 12))
def test_resumed_run_leaves_the_same_history(tmp_path, stop):
    straight, broken = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    masks = MaskSet(SHAPES, PATHWAYS)
    generator = torch.Generator().manual_seed(1)
    monitor = PruningMonitor(None, straight, loss_interval=2)
    run(monitor, masks, range(14), generator)
    wanted = monitor.state_dict()

    masks = MaskSet(SHAPES, PATHWAYS)
    generator = torch.Generator().manual_seed(1)
    monitor = PruningMonitor(None, broken, loss_interval=2)
    run(monitor, masks, range(stop), generator)
    state, kept = monitor.state_dict(), masks.clone()
    random = generator.get_state()
    run(monitor, masks, range(stop, 13), generator)
    # Killed, and started again from the checkpoint.
    generator.set_state(random)
    monitor = PruningMonitor(None, broken, loss_interval=2)
    monitor.load_state_dict(state)
    run(monitor, kept, range(stop, 14), generator)

    assert broken.read_bytes() == straight.read_bytes()
    assert comparable(monitor.state_dict()) == comparable(wanted)


def comparable(state):
    """A state with lists of numbers for tensors."""
    explored = {
        pathway: {name: x.tolist() for name, x in stored.items()}
        for pathway, stored in state["explored"].items()
    }
    return {**state, "explored": explored}


def test_state_survives_torchs_safe_loading(tmp_path, generator):
    monitor = PruningMonitor(None, tmp_path / "h.jsonl")
    run(monitor, MaskSet(SHAPES, PATHWAYS), range(7), generator)
    torch.save(monitor.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other = PruningMonitor(None, tmp_path / "h.jsonl")
    other.load_state_dict(state)
    assert comparable(other.state_dict()) == comparable(state)
    empty = [k for k, x in state.items() if not x]
    assert empty == []


def test_state_is_a_snapshot(generator):
    monitor = PruningMonitor()
    masks = MaskSet(SHAPES, PATHWAYS)
    run(monitor, masks, range(3), generator)
    state = monitor.state_dict()
    copy = {n: x.clone() for n, x in state["explored"]["fr"].items()}
    other = PruningMonitor()
    other.load_state_dict(state)
    for one in (monitor, other):
        run(one, masks, range(3, 14), generator)
    assert all(torch.equal(state["explored"]["fr"][n], copy[n]) for n in copy)


def test_testing_an_older_checkpoint_costs_no_history(path, generator):
    monitor = PruningMonitor(None, path)
    monitor.on_metrics(10, {"cer": {"en": 9.0}})
    state = monitor.state_dict()
    monitor.on_metrics(20, {"cer": {"en": 8.0}})
    monitor = PruningMonitor(None, path)
    monitor.load_state_dict(state)
    monitor.on_metrics(10, {"cer": {"en": 9.5}}, stage="test")
    found = [(x["step"], x["stage"]) for x in read_history(path)]
    assert found == [(10, "valid"), (20, "valid"), (10, "test")]


def test_state_of_another_version_is_refused():
    state = {**PruningMonitor().state_dict(), "version": 2}
    with pytest.raises(UserError, match="must be of version 1, got 2"):
        PruningMonitor().load_state_dict(state)


@pytest.mark.parametrize(
    ("shapes", "got"), [({"a.w": (9, 9)}, "2"), ({"other": (3, 5)}, "nothing")]
)
def test_state_of_other_parameters_is_refused(shapes, got):
    monitor = PruningMonitor()
    masks = MaskSet(SHAPES, PATHWAYS)
    monitor.on_update(1, PATHWAYS, masks.clone(), masks, targets(), 0.0)
    other = PruningMonitor()
    other.load_state_dict(monitor.state_dict())
    wrong = MaskSet(shapes, PATHWAYS)
    with pytest.raises(UserError, match=f"must hold .* bytes for .*got {got}"):
        other.on_update(2, PATHWAYS, wrong.clone(), wrong, [], 0.0)


def test_layout_shows_the_layers_also_after_a_resume(generator):
    board = Board()
    monitor = PruningMonitor(board)
    monitor.on_losses(1, {"en": 1.0})
    run(monitor, MaskSet(SHAPES, PATHWAYS), range(3), generator)
    assert "Layers" not in board.layouts[0]
    assert list(board.layouts[-1]["Layers"]) == ["Density of a", "Density of b"]
    resumed = PruningMonitor(Board())
    resumed.load_state_dict(monitor.state_dict())
    resumed.on_losses(4, {"en": 1.0})
    assert resumed.logger.layouts[-1] == board.layouts[-1]


def test_other_ranks_write_nothing(path, generator, monkeypatch):
    monkeypatch.setattr(module, "_is_main", lambda: False)
    board = Board()
    monitor = PruningMonitor(board, path, loss_interval=1)
    run(monitor, MaskSet(SHAPES, PATHWAYS), range(5), generator)
    assert board.scalars == {} and not path.parent.exists()


@pytest.mark.parametrize(("rank", "writes"), [(0, True), (1, False)])
def test_rank_0_writes(path, monkeypatch, rank, writes):
    monkeypatch.setattr(module.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(module.dist, "get_rank", lambda: rank)
    PruningMonitor(None, path).on_losses(1, {"en": 1.0})
    assert path.exists() == writes


def test_import_leaves_slow_packages_out():
    code = (
        "import sys, leanbrain.pruning.monitor; "
        "sys.exit(sum(x in sys.modules for x in ('speechbrain', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_epoch_without_an_update_has_its_points(tmp_path, generator):
    """Not twice where masks changed in the same step."""
    board, masks = TensorBoardLogger(tmp_path), MaskSet(SHAPES, PATHWAYS)
    monitor = PruningMonitor(board, pictures=False)
    run(monitor, masks, range(1, 3), generator)
    for step in (2, 5):
        monitor.on_epoch(step, masks, 0.5)
    board.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    tag = f"pruning/density/{PATHWAYS[0]}"
    points = {x.step: x.value for x in found.Scalars(tag)}
    assert len(points) == len(found.Scalars(tag)) and max(points) == 5
    assert points[5] == pytest.approx(masks.density(PATHWAYS[0]))
    assert not found.Tags()["images"]


def test_a_logger_of_its_own_is_saved_with_it(tmp_path):
    """One that the recipe saves is not."""
    board = TensorBoardLogger(tmp_path / "a")
    monitor = PruningMonitor(board, owns_logger=True)
    monitor.on_losses(7, {"en": 1.0})
    state = monitor.state_dict()
    assert "board" not in PruningMonitor(board).state_dict()
    other = TensorBoardLogger(tmp_path / "a")
    again = PruningMonitor(other, owns_logger=True)
    again.load_state_dict(state)
    assert other.step == 7
    again.on_losses(8, {"en": 2.0})
    monitor.on_losses(9, {"en": 9.0})  # of the run that was killed
    said = []
    again.announce(said.append)
    assert said == [f"Curves: tensorboard --logdir {tmp_path}"]
    board.close()
    other.close()
