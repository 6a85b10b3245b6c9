"""First masks that are given, and masks that are learned, on a Brain."""

from functools import partial

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet
from leanbrain.pruning.initial import MasksFromFiles
from leanbrain.pruning.schedules import constant
from leanbrain.pruning.scores.basic import gradient, weight_gradient
from leanbrain.pruning.scores.learned import LearnedScore
from leanbrain.pruning.scores.lookahead import LookAhead
from leanbrain.pruning.scores.pathway_magnitude import PathwayMagnitude
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.updates.rules import drop_and_grow, reselect
from leanbrain.pruning.updates.topk import top_mask

HALF = partial(constant, sparsity=0.5)
FIXED = {"update": None, "growth": None, "schedule": HALF}


def random_masks(pathway, targets):
    """Half of every layer, different for each pathway."""
    generator = torch.Generator().manual_seed(sum(map(ord, pathway)))
    masks = {}
    for target in targets:
        shape = target.parameter.shape
        scores = torch.rand(shape, generator=generator)
        masks[target.name] = top_mask(scores, shape.numel() // 2)
    return masks


def test_masks_from_a_file_stay_as_they_are(toy, tmp_path):
    plain = toy.make_brain()
    pruner = toy.make_pruner()
    pruner.manage(plain.modules)
    for name in toy.LANGUAGES:
        for key, mask in random_masks(name, pruner.targets).items():
            pruner.masks.set(name, key, mask)
    pruner.masks.save(tmp_path / "masks.pt")
    wanted = pruner.masks.digest()
    initial = MasksFromFiles(tmp_path / "masks.pt")
    pruner = toy.make_pruner(initial=initial, total_steps=6, **FIXED)
    brain = toy.make_brain(pruner=pruner, epochs=1)
    brain.fit(brain.counter, toy.loader(6), None)
    assert pruner.step == 6 and pruner.frozen
    assert pruner.masks.digest() == wanted
    assert MaskSet.load(tmp_path / "masks.pt").digest() == wanted


def test_masks_of_another_sparsity_are_refused_at_the_start(toy):
    pruner = toy.make_pruner(
        initial=random_masks,
        update=None,
        growth=None,
        schedule=partial(constant, sparsity=0.6),
    )
    brain = toy.make_brain(pruner=pruner)
    with pytest.raises(UserError, match="masks of 'en' .* 0.6 .*, got 0.5"):
        brain.fit(brain.counter, toy.loader(2), None)


def test_adaptive_masks_begin_with_the_given_ones(toy):
    brain, pruner = toy.ready(initial=random_masks, schedule=HALF)
    first = pruner.masks.clone()
    for target in pruner.targets:
        wanted = random_masks("fr", pruner.targets)[target.name]
        assert torch.equal(first.get("fr", target.name), wanted)
    toy.step(brain, toy.loader(4))
    assert pruner.masks.churn(first, "en") > 0
    assert pruner.masks.count("en") == first.count("en")


@pytest.mark.parametrize(
    "update, saliency, growth, same",
    [
        (reselect, None, None, True),
        (reselect, LookAhead(), None, False),
        (reselect, LearnedScore(lr=0.05), None, False),
        (reselect, PathwayMagnitude(), None, False),
        (drop_and_grow, None, TrackedScore(gradient), False),
    ],
    ids=["magnitude", "ahead", "learned", "own magnitude", "own gradient"],
)
def test_masks_stay_different_unless_scores_are_blind(
    toy, update, saliency, growth, same
):
    """Magnitudes do not know the language: one update, and all are one."""
    brain, pruner = toy.ready(
        initial=random_masks,
        schedule=HALF,
        update=update,
        saliency=saliency,
        growth=growth,
        take_turns=False,
    )
    assert pruner.masks.overlap("en", "fr") < 0.5
    toy.step(brain, toy.loader(2))
    assert (pruner.masks.overlap("en", "fr") == 1) == same


def test_learned_masks_leave_the_weights_as_they_are(toy):
    brain, pruner = toy.ready(
        train_weights=False,
        schedule=HALF,
        saliency=TrackedScore(weight_gradient),
        first_saliency=None,
        initial=random_masks,
        update=reselect,
        growth=None,
    )
    names = [target.name for target in pruner.targets]
    before = [pruner.switch.dense(name).clone() for name in names]
    masks, bias = pruner.masks.clone(), brain.modules.model.first.bias.clone()
    toy.step(brain, toy.loader(4))
    after = [pruner.switch.dense(name) for name in names]
    assert all(map(torch.equal, before, after))
    assert pruner.masks.churn(masks, "en") > 0
    assert not torch.equal(brain.modules.model.first.bias, bias)


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"train_dormant": True}, "`train_dormant` must be False"),
        ({"keep_dormant": False}, "`keep_dormant` must be True"),
        ({"begin": 0.5}, "`begin` must be 0"),
    ],
)
def test_settings_that_would_change_the_weights_are_refused(
    toy, settings, match
):
    with pytest.raises(UserError, match=match):
        toy.make_pruner(train_weights=False, **settings)


def dense_values(pruner):
    return {t.name: pruner.switch.dense(t.name).clone() for t in pruner.targets}


@pytest.fixture
def parp(toy):
    """PARP just before and just after its masks freeze, and a step later."""
    settings = {"update": reselect, "growth": None, "schedule": HALF}
    brain, pruner = toy.ready(
        total_steps=12, heal=0.5, interval=4, train_dormant=True, **settings
    )
    batches = list(toy.loader(8))
    toy.step(brain, batches[:5])
    assert not pruner.frozen
    before = pruner.masks.clone()
    toy.step(brain, batches[5:6])
    assert pruner.frozen
    at_freeze = dense_values(pruner)
    toy.step(brain, batches[6:7])
    return pruner, before, at_freeze


def test_the_last_masks_of_a_reselection_are_the_best_of_all(toy, parp):
    pruner, before, dense = parp
    for language in toy.LANGUAGES:
        for name, value in dense.items():
            mask = pruner.masks.get(language, name)
            best = top_mask(value.abs(), pruner.masks.count(language, [name]))
            assert torch.equal(mask, best)
    assert pruner.masks.churn(before, "en") > 0


def test_dormant_weights_rest_when_masks_are_frozen(parp):
    pruner, _, at_freeze = parp
    now, moved = dense_values(pruner), 0
    for name, value in now.items():
        union = pruner.masks.get("en", name) | pruner.masks.get("fr", name)
        assert torch.equal(now[name][~union], at_freeze[name][~union])
        moved += int((value != at_freeze[name]).sum())
    assert moved > 0
    # Six steps with dense gradients, and one without.
    cost = pruner.cost.state_dict()
    for name, removed in cost["removed"].items():
        assert cost["ungraded"][name] == pytest.approx(removed / 7, rel=0.05)
