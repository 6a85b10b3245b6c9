"""Inspection: the table is of all parameters; a dry run foretells the run."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, select_targets
from leanbrain.masking.targets import explain_targets
from leanbrain.pruning.inspection.dry_run import dry_run
from leanbrain.pruning.inspection.rows import Row, inspect_targets
from leanbrain.pruning.inspection.text import WIDTH, dry_run_text, rows_text
from leanbrain.pruning.methods import load_method

STEPS = 72  # a turn of adaptive.yaml is then as long as both pathways take
PATHWAYS = ["en", "fr"]
# How the counts of each method come about; those with masks of other runs
# have a test of their own.
METHODS = {
    "adaptive": "score",
    "adaptive_learned": "allocation",
    "adaptive_mono": "score",
    "ggr": "score",
    "granet": "score",
    "imp": "allocation",
    "lap": "allocation",
    "learned": "allocation",
    "lsp": "allocation",
    "lth": "allocation",
    "none": "allocation",
    "one_shot": "allocation",
    "parp": "allocation",
    "rigl": "allocation",
    "set": "allocation",
}


class Model(nn.Module):
    """Layers of different sizes, a tied one and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.frontend = nn.Linear(7, 11)
        self.enc = nn.Linear(11, 13)
        self.again = nn.Sequential(nn.Linear(13, 11))
        self.tied = self.enc
        self.norm = nn.LayerNorm(11)
        self.ctc_lin = nn.Linear(11, 3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, x):
        x = self.again(torch.tanh(self.enc(torch.tanh(self.frontend(x)))))
        return self.frozen(self.ctc_lin(self.norm(x)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({"net": Model()})


@pytest.fixture
def method(repo_root):
    def load(name, **settings):
        file = repo_root / "hparams" / "pruning" / f"{name}.yaml"
        single = "the one language" in file.read_text()
        names = PATHWAYS[:1] if single else PATHWAYS
        common = {"total_steps": STEPS, "pathways": names}
        return load_method(file, **{**common, **settings})["pruner"]

    return load


def run_really(pruner, model):
    """Trains; returns the updates that a monitor would hear of."""
    heard = []

    def note(step, due, before, masks, targets, sparsity):
        heard.append((step, tuple(due), sparsity))

    pruner.monitor = SimpleNamespace(on_update=note, announce=lambda *_: None)
    pruner.manage(model)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3
    )
    pruner.watch(optimizer)
    pruner.try_first()
    pruner.start()
    for step in range(STEPS):
        pathway = pruner.pathways[step % len(pruner.pathways)]
        pruner.enter(SimpleNamespace(lang=[pathway]))
        model["net"](torch.randn(5, 7)).square().sum().backward()
        pruner.leave()
        optimizer.step()
        optimizer.zero_grad()
        pruner.finish_step()
    return heard


@pytest.mark.parametrize("name", METHODS)
def test_what_decides_on_the_counts(name, method, model):
    told = dry_run(method(name), select_targets(model))
    assert told.keep_by == METHODS[name]
    assert (told.keep is None) == (told.keep_by == "score")


# One of each kind of schedule, allocation and update.
@pytest.mark.parametrize(
    "name", ["adaptive", "ggr", "imp", "lap", "learned", "one_shot"]
)
def test_a_dry_run_foretells_the_run(name, method, model):
    # Languages come in turn: each is heard of between two updates.
    settings = {"interval": 4} if name in ("adaptive", "learned") else {}
    told = dry_run(method(name, **settings), select_targets(model))
    pruner = method(name, **settings)
    heard = run_really(pruner, model)
    assert [(u.step, u.pathways, u.sparsity) for u in told.updates] == heard
    assert told.pathways == tuple(pruner.pathways)
    assert told.dense_bytes == 4 * told.weights
    bits = sum(b.numel() for b in pruner.masks.union().values())
    assert told.mask_bytes == bits * (1 + len(pruner.pathways))
    for pathway in pruner.pathways:
        names = [target.name for target in pruner.targets]
        real = {n: pruner.masks.count(pathway, [n]) for n in names}
        assert sum(real.values()) == told.kept
        if told.keep is None:
            continue
        assert sum(told.keep.values()) == told.kept
        assert list(told.keep) == list(real)
        assert all(abs(told.keep[n] - real[n]) <= 1 for n in real)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("rigl", {"interval": 7, "heal": 0.0}), ("lap", {"interval": 1000})],
)
def test_any_interval_is_foretold(name, settings, method, model):
    told = dry_run(method(name, **settings), select_targets(model))
    heard = run_really(method(name, **settings), model)
    assert [(u.step, u.pathways, u.sparsity) for u in told.updates] == heard


def test_turns_and_first_masks_by_gradient_are_foretold(method, model):
    def make():
        pruner = method("adaptive", interval=5)
        pruner.turns.together = False
        pruner.scores.first_saliency = pruner.scores.saliency
        return pruner

    told = dry_run(make(), select_targets(model))
    heard = run_really(make(), model)
    assert [(u.step, u.pathways, u.sparsity) for u in told.updates] == heard
    assert told.updates[0].pathways == ("en",)


def test_a_dry_run_leaves_the_pruner_as_it_is(method, model):
    pruner = method("adaptive")
    pruner.turns.begin(3)
    dry_run(pruner, select_targets(model))
    assert pruner.turns.state_dict() == {"current": 0, "since": 3}
    assert not pruner.targets and not pruner.settled


def test_given_masks_are_looked_at(method, model, tmp_path):
    targets = select_targets(model)
    masks = MaskSet.from_targets(targets, ["all"])
    masks.save(tmp_path / "all.pt")
    file = str(tmp_path / "all.pt")
    kept = method("fixed_pathways", initial_masks=file, sparsity=0.0)
    told = dry_run(kept, targets)
    assert (told.keep, told.keep_by) == (None, "given masks")
    assert len(told.updates) == 1
    with pytest.raises(UserError, match="must remove the share 0.7"):
        dry_run(method("fixed_pathways", initial_masks=file), targets)
    with pytest.raises(UserError, match="be of the pruned parameters only"):
        dry_run(kept, targets[:-1])


def test_an_allocation_that_does_not_fit_is_told(method, model):
    pruner = method("learned", relative_density={"*": 1, "*enc*": 2})
    with pytest.raises(UserError, match="'.enc.' must be the first"):
        dry_run(pruner, select_targets(model))


def test_rows_are_all_parameters_once_with_the_reason(model):
    rows = inspect_targets(model)
    parameters = dict(model.named_parameters())
    assert [row.name for row in rows] == list(parameters)
    assert all(r.shape == parameters[r.name].shape for r in rows)
    assert sum(row.share for row in rows) == pytest.approx(1.0)
    targets = {t.name: t.group for t in select_targets(model)}
    assert {r.name: r.group for r in rows if r.left_out is None} == targets
    why = {row.name: row.left_out for row in rows}
    assert why["net.norm.weight"] == "a vector"
    assert why["net.enc.bias"] == "a bias"
    assert why["net.frozen.weight"] == "frozen"
    assert why["net.ctc_lin.weight"] == "an output layer"
    tied = {row.name: row.tied for row in rows if row.tied}
    assert tied["net.enc.weight"] == ("net.tied.weight",)


def test_patterns_and_groups_are_those_of_the_selection(model):
    groups = {"first": ["*frontend*"], "rest": ["*"]}
    rows = inspect_targets(model, ["*enc*", "*front*"], ["*front*"], groups)
    found = {r.name: (r.group, r.left_out) for r in rows}
    assert found["net.enc.weight"] == ("rest", None)
    assert found["net.frontend.weight"] == ("first", "excluded by '*front*'")
    assert found["net.again.0.weight"] == ("rest", "not in `include`")
    with pytest.raises(UserError, match="`include` pattern 'x' must match"):
        inspect_targets(model, ["x"])


def test_explaining_and_selecting_agree(model):
    told = [t.name for t, why in explain_targets(model) if why is None]
    assert told == [target.name for target in select_targets(model)]


def test_the_table_is_narrow_and_adds_up():
    long = "x" * 90
    rows = [
        Row(f"enc.{long}.w", (1000, 2000), "enc", 2_000_000, 0.5, (), None),
        Row("dec.w", (10,) * 6, "dec", 1_000_000, 0.25, (f"e.{long}",), None),
        Row("enc.v", (600, 1000), "enc", 600_000, 0.15, (), None),
        Row(f"enc.{long}.b", (400_000,), "enc", 400_000, 0.1, (), "a bias"),
    ]
    keep = {row.name: row.weights // 4 for row in rows[:3]}
    text = rows_text(rows, keep, every=True)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [x.split()[0] for x in lines if not x.startswith(" ")] == [
        "name", "enc", "dec", "3", "a", "1", "4"
    ]  # fmt: skip
    numbers = {line.split("  ")[0]: line.split()[-3:] for line in lines}
    assert numbers["enc"] == ["2,600,000", "65.0%", "650,000"]
    assert numbers["3 targets"] == ["3,600,000", "90.0%", "900,000"]
    assert lines[-1].split() == ["4", "parameters", "4,000,000", "100.0%"]
    # Right-aligned: each column ends where its title does.
    end = lines[0].index("weights") + len("weights")
    assert all(x[end - 1].isdigit() for x in lines[1:] if "tied" not in x)
    assert "  v  " in text and "tied to e.xxx" in text


def test_left_out_parameters_are_summed_up_unless_asked_for():
    rows = [
        Row(f"l{i}.bias", (2,), f"l{i}", 2, 0.25, (), "a bias")
        for i in range(4)
    ]
    lines = rows_text(rows).splitlines()
    assert [x.split()[:3] for x in lines[-3:-1]] == [
        ["a", "bias:", "4"],
        ["4", "not", "masked"],
    ]
    assert len(rows_text(rows, every=True).splitlines()) == len(lines) + 4


def test_the_text_of_a_dry_run_shows_some_updates_to_the_last(method, model):
    told = dry_run(
        method("adaptive_lookahead", interval=1), select_targets(model)
    )
    lines = dry_run_text(told).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert "set 36 times; frozen from step 36 on" in lines[0]
    assert lines[2] == "9 of the 36 updates:"
    rows = [line.split() for line in lines[4:13]]
    steps = ["1", "2", "3", "8", "14", "19", "25", "30", "36"]
    assert [row[0] for row in rows] == steps
    sparsity = [float(row[1].rstrip("%")) for row in rows]
    # All of the way, not its two ends alone.
    assert sparsity == sorted(sparsity) and 10 < sparsity[4] < 69
    assert sparsity[-1] == 70
    assert f"keeps {told.kept:,} of {told.weights:,} weights" in lines[13]


def test_the_text_of_a_short_dry_run_shows_all_updates(method, model):
    told = dry_run(
        method("adaptive_lookahead", interval=5), select_targets(model)
    )
    assert len(told.updates) == 9
    lines = dry_run_text(told).splitlines()
    steps = [line.split()[0] for line in lines[3:12]]
    assert steps == [str(update.step) for update in told.updates]
