"""The memory that a dry run foretells is what a run holds."""

import gc
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from leanbrain.masking import MaskSet, select_targets
from leanbrain.pruning.inspection.dry_run import dry_run
from leanbrain.pruning.inspection.text import dry_run_text
from leanbrain.pruning.methods import load_method

STEPS, SIZE = 60, 256
ONE, FOUR = ["a"], ["a", "b", "c", "d"]
METHODS = {
    "adaptive": FOUR,
    "adaptive_lap": FOUR,
    "adaptive_learned": FOUR,
    "adaptive_lookahead": FOUR,
    "adaptive_lsp": FOUR,
    "adaptive_mono": ONE,
    "fixed_pathways": FOUR,
    "ggr": ["all"],
    "granet": ["all"],
    "imp": ["all"],
    "lap": ["all"],
    "learned": FOUR,
    "lsp": ONE,
    "lth": ["all"],
    "none": ["all"],
    "one_shot": ["all"],
    "parp": ["all"],
    "rigl": ["all"],
    "set": ["all"],
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = {"x": nn.Linear(SIZE, SIZE), "y": nn.Linear(SIZE, SIZE // 2)}
    return nn.ModuleDict(layers)


@pytest.fixture
def load(repo_root, model, tmp_path):
    """A method's pruner, with masks to begin with if it needs some."""
    folder = repo_root / "hparams" / "pruning"

    def build(name):
        file, own = folder / f"{name}.yaml", {}
        if "initial_masks: !PLACEHOLDER" in file.read_text():
            sparsity = 0.7 if name == "fixed_pathways" else 0.5
            masks = MaskSet.from_targets(select_targets(model), METHODS[name])
            for pathway in masks.pathways:
                for key, shape in masks.shapes.items():
                    drawn = torch.randperm(shape.numel()).view(shape)
                    kept = round((1 - sparsity) * shape.numel())
                    masks.set(pathway, key, drawn < kept)
            masks.save(tmp_path / "masks.pt")
            own["initial_masks"] = str(tmp_path / "masks.pt")
            if name != "adaptive_lap":
                own["initial_masks"] = dict.fromkeys(
                    METHODS[name], own["initial_masks"]
                )
        return load_method(
            file, total_steps=STEPS, pathways=METHODS[name], **own
        )["pruner"]

    return build


def held(model):
    """Bytes of all tensors but a model's and its gradients, each once."""
    own = [*model.parameters(), *(p.grad for p in model.parameters())]
    known = {t.untyped_storage().data_ptr() for t in own if t is not None}
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, nn.Parameter):
            storage = thing.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return sum(size for at, size in found.items() if at not in known)


def most_held(pruner, model):
    """Trains, and asks around the update of which most methods have one."""
    x = torch.randn(4, SIZE)
    pruner.manage(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    pruner.watch(optimizer)
    sizes = []
    for step in range(STEPS):
        if step == 0:
            pruner.start()
        pathway = pruner.pathways[step % len(pruner.pathways)]
        pruner.enter(SimpleNamespace(lang=[pathway]))
        model["y"](torch.tanh(model["x"](x))).square().mean().backward()
        if step == 24:
            sizes.append(held(model))
        pruner.leave()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pruner.finish_step()
        if step == 24:
            sizes.append(held(model))
            break
    return max(sizes)


@pytest.mark.parametrize("name", METHODS)
def test_memory_is_foretold(name, load, model):
    told = dry_run(load(name), select_targets(model), model)
    pruner = load(name)
    gc.collect()
    before = held(model)
    grown = most_held(pruner, model) - before
    assert grown == pytest.approx(told.bytes, rel=0.1)
    assert f"memory: {told.bytes / 2**20:,.1f} MiB" in dry_run_text(told)


def test_every_method_is_tried(repo_root):
    folder = repo_root / "hparams" / "pruning"
    assert set(METHODS) == {path.stem for path in folder.glob("*.yaml")}


def test_a_score_that_does_not_tell_is_said(load, model):
    pruner = load("lap")
    pruner.scores.saliency = SimpleNamespace(wants_gradient=False)
    told = dry_run(pruner, select_targets(model))
    assert told.bytes is None
    assert "scores do not tell theirs" in dry_run_text(told)
