"""Every file of hparams/pruning keeps what its first lines promise."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from leanbrain.masking import MaskSet
from leanbrain.pruning.allocation.shares import erk, keep_total, per_layer
from leanbrain.pruning.methods import load_method
from leanbrain.pruning.updates.rules import reselect
from leanbrain.pruning.updates.topk import top_mask

FOLDER = Path(__file__).resolve().parents[2] / "hparams" / "pruning"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
STEPS = 24
# For so short a run; only those that a file has.
TINY = {
    "interval": 2,
    "min_batches": 1,
    "rounds": 3,
    "seed": 5,
    "relative_density": {"*lstm*": 2.0, "*": 1.0},
}
ONE_LANGUAGE = {"lsp", "adaptive_mono"}
SEVERAL = {
    "adaptive",
    "adaptive_lap",
    "adaptive_learned",
    "adaptive_lookahead",
    "adaptive_lsp",
    "fixed_pathways",
    "learned",
}
RUNS = {}  # name and settings -> a finished run: each is trained once


def keys_of(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    return set(re.findall(r"^(\w+):", text, re.M))


def train(toy, name, start=1, data=0, **settings):
    """A run of a few steps; its masks, its pruner and its model."""
    own = {k: v for k, v in TINY.items() if k in keys_of(name)}
    languages = ["en"] if name in ONE_LANGUAGE else list(toy.LANGUAGES)
    own |= {"total_steps": STEPS, "pathways": languages, **settings}
    loaded = load_method(FOLDER / f"{name}.yaml", **own)
    brain = toy.make_brain(pruner=loaded["pruner"], seed=start)
    before = [p.detach().clone() for p in brain.modules.parameters()]
    batches = toy.loader(STEPS, seed=data)
    heard = [b for b in batches.dataset.items if b.lang[0] in own["pathways"]]
    batches.dataset.items = heard[: STEPS // 2]
    seen = []
    finish = loaded["pruner"].finish_step

    def finish_step():
        finish()
        seen.append(loaded["pruner"].masks.clone())

    loaded["pruner"].finish_step = finish_step
    brain.fit(brain.counter, batches)
    return SimpleNamespace(
        sparsity=loaded["sparsity"],
        pruner=loaded["pruner"],
        masks=loaded["pruner"].masks,
        model=brain.modules["model"],
        before=before,
        seen=seen,
    )


def first_masks(toy, name, **settings):
    """The masks that a method starts with."""
    own = {k: v for k, v in TINY.items() if k in keys_of(name)}
    own |= {"total_steps": STEPS, "pathways": list(toy.LANGUAGES), **settings}
    pruner = load_method(FOLDER / f"{name}.yaml", **own)["pruner"]
    toy.make_brain(pruner=pruner)
    pruner.start()
    return pruner.masks


@pytest.fixture
def run(toy, tmp_path_factory):
    """Trains a method once, and before it those that find its masks."""

    def trained(name):
        if name not in RUNS:
            RUNS[name] = train(toy, name, **needs(name))
        return RUNS[name]

    def masks(name, sparsity, language):
        key = name, sparsity, language
        if key not in RUNS:
            heard = {"pathways": [language]} if name in ONE_LANGUAGE else {}
            found = train(toy, name, sparsity=sparsity, **heard)
            file = tmp_path_factory.mktemp(name) / "masks.pt"
            found.masks.save(file)
            RUNS[key] = file
        return RUNS[key]

    def needs(name):
        if "initial_masks" not in keys_of(name):
            return {}
        sparsity = 0.7 if name == "fixed_pathways" else 0.5
        if name == "adaptive_lap":
            return {"initial_masks": masks("lap", sparsity, "all")}
        files = {x: masks("lsp", sparsity, x) for x in toy.LANGUAGES}
        return {"initial_masks": files}

    trained.again = lambda name: train(toy, name, **needs(name))
    return trained


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_at_exactly_its_sparsity(run, name):
    done = run(name)
    kept = keep_total(done.masks.numel(), done.sparsity)
    counts = [done.masks.count(pathway) for pathway in done.masks.pathways]
    assert counts == [kept] * len(counts)
    assert done.pruner.frozen and done.pruner.step == STEPS
    assert (done.sparsity == 0.0) == (name == "none")


@pytest.mark.parametrize("name", NAMES)
def test_the_model_holds_what_its_masks_keep(run, name):
    done = run(name)
    targets = done.pruner.targets
    kept = sum(int(torch.count_nonzero(t.parameter)) for t in targets)
    union = done.masks.union_density() * done.masks.numel()
    # What grew in the last update begins at zero and may not have moved yet.
    assert 0.9 * union < kept <= round(union)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model(run, name):
    first, second = run(name), run.again(name)
    assert first.masks.digest() == second.masks.digest()
    state, other = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(state[key], other[key]) for key in state)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_the_pathways_that_it_says(run, name):
    expected = ("en", "fr") if name in SEVERAL else ("all",)
    expected = ("en",) if name in ONE_LANGUAGE else expected
    assert run(name).masks.pathways == expected


def random_file(path, masks, seed):
    """Half of the weights, at random, for all languages."""
    generator = torch.Generator().manual_seed(seed)
    halves = MaskSet(masks.shapes, ["all"])
    shapes = {name: torch.empty(shape) for name, shape in masks.shapes.items()}
    for name, count in per_layer(shapes, 0.5).items():
        scores = torch.rand(masks.shapes[name], generator=generator)
        halves.set("all", name, top_mask(scores, count))
    halves.save(path)
    return str(path)


def shared(masks, others):
    """Weights of both, as a share of the weights of either."""
    both = either = 0
    for name in masks.shapes:
        for pathway in masks.pathways:
            one, two = masks.get(pathway, name), others.get(pathway, name)
            both += int((one & two).sum())
            either += int((one | two).sum())
    return both / either


@pytest.mark.parametrize("name", ["adaptive_lap", "adaptive_lsp"])
def test_the_masks_that_a_run_begins_with_matter(toy, run, tmp_path, name):
    """More than the data: selection without favour would forget them."""
    masks, ends = run("adaptive").masks, []
    for start, data in [(1, 0), (2, 0), (1, 5)]:
        file = random_file(tmp_path / f"{start}.pt", masks, start)
        files = dict.fromkeys(toy.LANGUAGES, file)
        given = file if name == "adaptive_lap" else files
        settings = {"initial_masks": given, "look_ahead": 0.1}
        ends.append(train(toy, name, data=data, **settings).masks)
    another_start, other_data = shared(*ends[:2]), shared(ends[0], ends[2])
    assert another_start < other_data - 0.05


@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_masks_of_languages_stay_different(run, name):
    masks = run(name).masks
    assert masks.overlap("en", "fr") < 0.99


def test_magnitude_alone_makes_all_masks_the_same(toy):
    """The trap that adaptive methods must keep out of: it can be fallen in."""
    pruner = toy.make_pruner(STEPS, update=reselect, growth=None)
    brain = toy.make_brain(pruner=pruner)
    brain.fit(brain.counter, toy.loader(STEPS // 2))
    assert pruner.masks.overlap("en", "fr") == 1.0


@pytest.mark.parametrize("name", ["set", "rigl", "ggr", "granet"])
def test_random_first_masks_follow_the_seed(toy, name):
    """Sparse from the first step, the layers as ERK has it."""
    settings = {"initial_sparsity": 0.5} if name == "granet" else {}
    masks = [first_masks(toy, name, seed=s, **settings) for s in (5, 5, 6)]
    assert masks[0].digest() == masks[1].digest() != masks[2].digest()
    shapes = {n: torch.empty(shape) for n, shape in masks[0].shapes.items()}
    counts = erk(shapes, settings.get("initial_sparsity", 0.7))
    assert {n: masks[0].count("all", n) for n in counts} == counts


@pytest.mark.parametrize("name", ["set", "rigl", "ggr"])
def test_density_is_conserved_at_every_step(run, name):
    """Layer by layer, but for GGR, which moves it between them."""
    done = run(name)
    total = keep_total(done.masks.numel(), done.sparsity)
    counts = [{n: m.count("all", [n]) for n in m.shapes} for m in done.seen]
    assert {sum(x.values()) for x in counts} == {total}
    moved = any(x != counts[0] for x in counts)
    assert moved == (name == "ggr")


@pytest.mark.parametrize("name", ["set", "rigl", "ggr"])
def test_masks_change_at_updates_alone(run, name):
    """Every 2 of the first three quarters of 24 steps; fewer weights later."""
    digests = [masks.digest() for masks in run(name).seen]
    pairs = zip(digests, digests[1:], strict=False)
    steps = [i for i, (old, new) in enumerate(pairs, 2) if old != new]
    assert {2, 4, 6, 8, 10, 12} <= set(steps) <= set(range(2, 18, 2))


@pytest.mark.parametrize("name", ["imp", "lth", "lap", "lsp"])
def test_iterative_methods_prune_in_stairs(run, name):
    done = run(name)
    (pathway,) = done.masks.pathways
    counts = [masks.count(pathway) for masks in done.seen]
    stairs = [round(done.masks.numel() * 0.3 ** (k / 3)) for k in range(4)]
    assert list(dict.fromkeys(counts)) == pytest.approx(stairs, abs=1)
    if name in ("imp", "lth"):
        # The masks after steps 6, 12 and 18 are those of the next rounds.
        ends = [counts.index(c) + 1 for c in dict.fromkeys(counts)]
        assert ends == [1, 6, 12, 18]


def test_lottery_tickets_are_rewound_and_imp_is_not(run):
    """The last round starts from the first weights: it ends nearer to them."""
    ends = {}
    for name in ("imp", "lth"):
        done = run(name)
        away = 0.0
        for before, now in zip(
            done.before, done.model.parameters(), strict=True
        ):
            moved = (now - before).detach()[now != 0]
            away += float(moved.pow(2).sum())
        ends[name] = away
    assert ends["lth"] < 0.5 * ends["imp"]


def test_fixed_pathways_train_with_the_masks_of_the_files(toy, run):
    done = run("fixed_pathways")
    for language in toy.LANGUAGES:
        theirs = MaskSet.load(RUNS["lsp", 0.7, language])
        for name in done.masks.shapes:
            mine = done.masks.get(language, name)
            assert torch.equal(mine, theirs.get(language, name))


@pytest.mark.parametrize("finder", ["imp", "lth"])
def test_fixed_pathways_take_masks_of_rounds_per_language(
    toy, tmp_path, finder
):
    """Their one mask is called "all": it becomes that of the language."""
    found = {
        x: train(toy, finder, sparsity=0.7, pathways=[x]).masks
        for x in toy.LANGUAGES
    }
    files = {x: tmp_path / f"{x}.pt" for x in found}
    for language, masks in found.items():
        masks.save(files[language])
    done = train(toy, "fixed_pathways", initial_masks=files)
    for language, masks in found.items():
        for name in done.masks.shapes:
            mine = done.masks.get(language, name)
            assert torch.equal(mine, masks.get("all", name))


def test_learned_masks_leave_the_weights_alone(run):
    done = run("learned")
    targets = {id(target.parameter) for target in done.pruner.targets}
    others = 0
    for before, now in zip(done.before, done.model.parameters(), strict=True):
        if id(now) in targets:
            kept = now != 0
            assert torch.equal(now[kept], before[kept])
        else:
            others += int(not torch.equal(now, before))
    assert others > 0
    first, last = done.seen[0], done.masks
    assert last.churn(first, "en") > 0.0  # the masks have moved instead


def test_groups_have_the_densities_that_were_asked_for(run):
    masks = run("learned").masks
    lstm = [name for name in masks.shapes if "lstm" in name]
    others = [name for name in masks.shapes if "lstm" not in name]
    ratio = masks.density("en", lstm) / masks.density("en", others)
    assert ratio == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("name", ["rigl", "ggr", "granet"])
def test_dense_gradients_are_looked_at_once_an_interval(run, name):
    """All else being equal, a dense gradient costs: count the cheap steps."""
    state = run(name).pruner.cost.state_dict()
    names = [n for n, removed in state["removed"].items() if removed > 0]
    assert names
    for weight in names:
        # 24 steps, updates every 2 of the first three quarters at most.
        share = state["ungraded"][weight] / state["removed"][weight]
        assert 0.5 < share < 0.9
