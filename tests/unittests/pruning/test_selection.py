"""MaskSelector: gradual pruning keeps exact totals at every step."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.switch import PathwaySwitch
from leanbrain.masking.targets import Target
from leanbrain.pruning.allocation import erk, global_, keep_total, per_layer
from leanbrain.pruning.gathering import Gathering
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.selection import MaskSelector
from leanbrain.pruning.updates import prune_only

STEPS = 40


def make_selector(sizes, allocation):
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
    scores = Gathering.of(None, None, None, None)
    selector = MaskSelector(
        targets, masks, switch, prune_only, scores, allocation, False
    )
    return selector, masks


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
    selector.finish("all", schedule(1.0))
    assert masks.count("all") == keep_total(sum(sizes), 0.6)
