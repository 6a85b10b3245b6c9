"""MaskSelector: exact totals, the last masks, what is computed how often."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation.grouping import per_group
from leanbrain.pruning.allocation.redistribution import by_gradient, first_then
from leanbrain.pruning.allocation.shares import (
    erk,
    global_,
    keep_total,
    per_layer,
)
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.scores.basic import Magnitude, gradient
from leanbrain.pruning.scores.gathering import Gathering
from leanbrain.pruning.scores.learned import LearnedScore
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.selection import MaskSelector
from leanbrain.pruning.updates.rules import (
    drop_and_grow,
    prune_only,
    replace_dropped,
    reselect,
)

STEPS = 40


def make_selector(
    sizes,
    allocation=per_layer,
    update=prune_only,
    saliency=None,
    growth=None,
    train_dormant=False,
):
    """A selector over one-row weights of these sizes, and their masks."""
    generator = torch.Generator().manual_seed(sum(sizes))
    targets = [
        Target(
            f"w{i}",
            torch.nn.Parameter(torch.randn(1, size, generator=generator)),
            "all",
            (),
        )
        for i, size in enumerate(sizes)
    ]
    masks = MaskSet.from_targets(targets, ["all"])
    switch = PathwaySwitch(targets, masks)
    scores = Gathering.of(saliency, growth, Magnitude(), None)
    selector = MaskSelector(
        targets, masks, switch, update, scores, allocation, train_dormant
    )
    return selector, masks


def hide_the_best(selector, masks, sparsity=0.5):
    """First masks of the smallest weights: the best are dormant."""
    selector.first("all", sparsity)
    for name in masks.shapes:
        masks.set("all", name, ~masks.get("all", name))
    return masks.clone()


@pytest.mark.parametrize("allocation", [per_layer, erk, global_])
@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(3, 60), min_size=2, max_size=6))
def test_pruning_alone_never_asks_for_more_than_there_is(allocation, sizes):
    """Largest remainders are not monotone: a share may rise by one."""
    schedule = partial(cubic, initial=0.0, final=0.6)
    selector, masks = make_selector(sizes, allocation)
    selector.first("all", schedule(0.0))
    for step in range(1, STEPS + 1):
        progress = step / STEPS
        selector.adapt("all", schedule(progress), progress)
        wanted = keep_total(sum(sizes), schedule(progress))
        assert masks.count("all") == wanted
    selector.adapt("all", schedule(1.0), 1.0, final=True)
    assert masks.count("all") == keep_total(sum(sizes), 0.6)


def test_a_parameter_whose_gradient_was_not_seen_keeps_its_density():
    """Its magnitudes would count as gradients, and large ones at that."""
    growth = TrackedScore(gradient, decay=0.0)
    selector, masks = make_selector(
        [40, 40], by_gradient, replace_dropped, None, growth
    )
    selector.first("all", 0.5)
    before = {name: masks.count("all", [name]) for name in masks.shapes}
    weight = selector.targets[0].parameter.detach()
    growth.observe("all", "w0", weight, torch.full_like(weight, 1e-6))
    selector.adapt("all", 0.5, 0.0)
    assert {n: masks.count("all", [n]) for n in masks.shapes} == before


@pytest.mark.parametrize("allocation", [global_, partial(global_), first_then])
def test_scores_that_do_not_compare_are_not_compared(allocation):
    with pytest.raises(UserError, match="LearnedScore, .*those of w0"):
        make_selector([20, 8], allocation, saliency=LearnedScore())


@pytest.mark.parametrize("allocation", [erk, by_gradient])
def test_other_allocations_take_learned_scores(allocation):
    selector, masks = make_selector(
        [20, 8], allocation, reselect, LearnedScore()
    )
    selector.first("all", 0.5)
    assert masks.count("all") == 14


def test_the_last_selection_is_from_all_weights_where_the_rule_is():
    selector, masks = make_selector([20, 8], update=partial(reselect))
    hidden = hide_the_best(selector, masks)
    selector.adapt("all", 0.5, 1.0, final=True)
    for name in masks.shapes:
        best = ~hidden.get("all", name)
        assert torch.equal(masks.get("all", name), best)


@pytest.mark.parametrize(
    "update, saliency",
    [
        (drop_and_grow, None),
        # Nothing seen since the last update: magnitudes would stand in.
        (reselect, TrackedScore(gradient)),
    ],
)
@pytest.mark.parametrize("sparsity", [0.5, 0.75])
def test_other_last_masks_are_of_those_before(update, saliency, sparsity):
    growth = Magnitude() if update is drop_and_grow else None
    selector, masks = make_selector(
        [20, 8], per_layer, update, saliency, growth
    )
    hidden = hide_the_best(selector, masks)
    selector.adapt("all", sparsity, 1.0, final=True)
    assert masks.count("all") == keep_total(28, sparsity)
    for name in masks.shapes:
        assert not (masks.get("all", name) & ~hidden.get("all", name)).any()


def test_reselection_that_saw_no_gradient_prunes_until_it_did():
    saliency = TrackedScore(gradient)
    selector, masks = make_selector([6], per_layer, reselect, saliency)
    hidden = hide_the_best(selector, masks)
    selector.adapt("all", 0.5, 0.5)
    assert masks.digest() == hidden.digest()
    (target,) = selector.targets
    slope = (~hidden.get("all", "w0")).float()
    saliency.observe("all", "w0", target.parameter.detach(), slope)
    selector.adapt("all", 0.5, 0.5)
    assert torch.equal(masks.get("all", "w0"), slope.bool())


@pytest.mark.parametrize("train_dormant", [True, False])
def test_weights_that_learned_meanwhile_keep_their_moments(train_dormant):
    selector, masks = make_selector([6], train_dormant=train_dormant)
    hidden = hide_the_best(selector, masks)
    (target,) = selector.targets
    optimizer = torch.optim.Adam([target.parameter])
    target.parameter.grad = torch.linspace(1.0, 2.0, 6).view(1, 6)
    optimizer.step()
    moment = optimizer.state[target.parameter]["exp_avg"]
    before, fresh = moment.clone(), ~hidden.get("all", "w0")
    masks.set("all", "w0", fresh)
    selector.revive(hidden.union(), {"w0": optimizer}, keep_dormant=True)
    assert torch.equal(moment, before) == train_dormant
    assert bool((moment[fresh] == 0).all()) != train_dormant


class Counting(Magnitude):
    """Notes which values were computed."""

    def __init__(self):
        super().__init__()
        self.computed = []

    def value(self, pathway, name, weight):
        self.computed.append(name)
        return super().value(pathway, name, weight)


@pytest.mark.parametrize(
    "allocation",
    [
        per_layer,
        erk,
        partial(per_group, relative_density={"*": 1.0}),
        by_gradient,
        first_then,
    ],
)
def test_each_score_is_computed_once_where_shapes_are_enough(allocation):
    saliency = Counting()
    selector, masks = make_selector([8, 4], allocation, saliency=saliency)
    selector.scores.first_saliency = saliency
    selector.first("all", 0.25)
    assert saliency.computed == ["w0", "w1"]
    if allocation is first_then:
        return  # all later ones rank all weights together
    selector.adapt("all", 0.5, 0.5)
    assert saliency.computed == ["w0", "w1"] * 2
    assert masks.count("all") == 6
