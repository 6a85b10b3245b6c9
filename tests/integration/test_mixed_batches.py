"""Brains whose batches mix languages, through mask-aware layers."""

from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from torch.nn import functional as F

from leanbrain.checks import UserError
from leanbrain.masking import (
    MaskSet,
    PathwayRouter,
    PathwaySwitch,
    convert,
    select_targets,
)
from leanbrain.masking.brains import route_batches

LANGS = ["fr", "en", "fr", "en", "en"]


class Batch(SimpleNamespace):
    def to(self, device):
        return self


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.lstm = torch.nn.LSTM(6, 6, batch_first=True)
        self.attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
        self.out = torch.nn.Linear(6, 6)

    def forward(self, x):
        x = self.lstm(x)[0]
        return self.out(x + self.attention(x, x, x)[0])


class Brain(sb.Brain):
    def compute_forward(self, batch, stage):
        return self.modules.model(batch.x)

    def compute_objectives(self, predictions, batch, stage):
        return F.mse_loss(predictions, batch.y)


def make_batch(langs=LANGS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, len(langs), 4, 6, generator=generator)
    return Batch(x=x, y=y, lang=langs)


@pytest.fixture
def brain():
    model = Model()
    convert(model)
    made = Brain(
        {"model": model},
        opt_class=lambda p: torch.optim.SGD(p, lr=0.1),
        run_opts={"max_grad_norm": 1e9},
    )
    made.init_optimizers()
    made.modules.train()
    return made


@pytest.fixture
def masks(brain):
    targets = select_targets(brain.modules)
    found = MaskSet.from_targets(targets, ["en", "fr"])
    generator = torch.Generator().manual_seed(2)
    for name, shape in found.shapes.items():
        for language in found.pathways:
            drawn = torch.rand(shape, generator=generator) < 0.5
            found.set(language, name, drawn)
    return found


def test_a_step_on_a_mixed_batch_is_that_of_both_languages(brain, masks):
    """The oracle: the switch, one language at a time, gradients added."""
    twin = Model()
    targets = select_targets({"model": twin})
    switch = PathwaySwitch(targets, masks.clone())
    batch = make_batch()
    for language in ("en", "fr"):
        rows = [i for i, x in enumerate(LANGS) if x == language]
        with switch.pathway(language):
            before = {t.name: t.parameter.grad for t in targets}
            for target in targets:
                target.parameter.grad = None
            loss = F.mse_loss(twin(batch.x[rows]), batch.y[rows])
            (loss * len(rows) / len(LANGS)).backward()
            for target in targets:
                own = target.parameter.grad * masks.get(language, target.name)
                held = before[target.name]
                target.parameter.grad = own if held is None else held + own
    switch.expose()
    torch.optim.SGD(twin.parameters(), lr=0.1).step()

    route_batches(PathwayRouter(brain.modules, masks), brain)
    brain.fit_batch(batch)
    for a, b in zip(
        brain.modules.model.parameters(), twin.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_evaluation_follows_each_utterance_and_forgets(brain, masks):
    router = PathwayRouter(brain.modules, masks)
    route_batches(router, brain)
    brain.modules.eval()
    batch = make_batch()
    with torch.no_grad():
        mixed = brain.evaluate_batch(batch, sb.Stage.VALID)
        losses = []
        for row, language in enumerate(LANGS):
            with router.through(language):
                out = brain.modules.model(batch.x[row : row + 1])
            losses.append(F.mse_loss(out, batch.y[row : row + 1]))
    torch.testing.assert_close(mixed, torch.stack(losses).mean())
    assert router.route == ()


def test_masks_follow_a_pruner_that_shares_them(brain, masks):
    """What `masks.set` changes is at work in the next batch."""
    router = PathwayRouter(brain.modules, masks)
    route_batches(router, brain)
    brain.modules.eval()
    with torch.no_grad():
        before = brain.evaluate_batch(make_batch(), sb.Stage.VALID)
        for name, shape in masks.shapes.items():
            masks.set("fr", name, torch.ones(shape).bool())
        after = brain.evaluate_batch(make_batch(), sb.Stage.VALID)
    assert not torch.equal(before, after)


def test_a_search_may_have_several_rows_for_each_utterance(brain, masks):
    batch = make_batch()
    forward = brain.modules.model.forward
    rows = [i for i in range(len(LANGS)) for _ in range(3)]

    def search(x):
        """The best of three beams, which are alike here."""
        return forward(forward(x)[rows])[::3]

    brain.modules.eval()
    brain.modules.model.forward = search
    router = PathwayRouter(brain.modules, masks)
    route_batches(router, brain, beams=True)
    found = brain.evaluate_batch(batch, sb.Stage.TEST)
    with router.through(LANGS):
        wanted = forward(forward(batch.x))
    torch.testing.assert_close(found, F.mse_loss(wanted, batch.y).detach())


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (Batch(x=torch.ones(2, 4, 6), lang=None), "list of str, got None"),
        (Batch(x=torch.ones(1, 4, 6), lang="en"), "list of str, got 'en'"),
        (Batch(x=torch.ones(2, 4, 6)), "must have the item `lang`"),
        (make_batch(["en", "ru"]), "one of en, fr; got 'ru'"),
        (make_batch(["en"] * 3 + ["fr"]), ""),
    ],
)
def test_a_batch_that_does_not_say_its_languages(brain, masks, batch, words):
    route_batches(PathwayRouter(brain.modules, masks), brain)
    if words:
        with pytest.raises(UserError, match=words):
            brain.fit_batch(batch)
    else:
        assert torch.isfinite(brain.fit_batch(batch))
    batch.lang = ["en"] * (batch.x.shape[0] + 1)
    with pytest.raises(UserError, match="one pathway for each of its rows"):
        brain.evaluate_batch(batch, sb.Stage.VALID)
