"""An optimizer exposes what it moves: other parameters stay as they are."""

import pytest
import torch

PART = ["raw", "lstm.weight_ih_l0"]
BEFORE = ["rest", "en"]


def go(rig, state):
    if state != "rest":
        rig.switch.enter(state)


def split(rig):
    """The parameters that are exposed, and the others."""
    chosen = {t.name: t.parameter for t in rig.targets if t.name in PART}
    others = {t.name: t.parameter for t in rig.targets if t.name not in PART}
    assert len(chosen) == 2 and len(others) > 2
    return chosen, others


@torch.no_grad()
def move(parameters):
    for parameter in parameters.values():
        parameter.add_(1)


@pytest.mark.parametrize("before", BEFORE)
def test_the_others_are_not_touched_from_expose_to_commit(rig, before):
    """Not even written to: a graph that needs them stays usable."""
    go(rig, before)
    chosen, others = split(rig)
    versions = {n: p._version for n, p in others.items()}
    rig.switch.expose(PART)
    for name, parameter in chosen.items():
        assert torch.equal(parameter, rig.theta[name])
    for name, parameter in others.items():
        shown = torch.where(rig.mask(before, name), rig.theta[name], 0.0)
        assert torch.equal(parameter, shown)
    move(chosen)
    rig.switch.commit(["en"])
    assert {n: p._version for n, p in others.items()} == versions
    theta = dict(rig.theta)
    for name in PART:
        theta[name] = rig.theta[name] + rig.mask("en", name)
    rig.check(before, theta)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("called", ["leave", "refresh", "adopt"])
def test_what_ends_the_dense_state_takes_it_and_rests(rig, before, called):
    go(rig, before)
    chosen, _ = split(rig)
    rig.switch.expose(PART)
    move(chosen)
    getattr(rig.switch, called)()
    rig.check("rest", {n: v + (n in PART) for n, v in rig.theta.items()})


def test_writes_to_the_others_are_kept(rig):
    """A checkpoint may be loaded at any time."""
    _, others = split(rig)
    rig.switch.expose(PART)
    move(others)
    rig.switch.commit(None)
    rig.switch.refresh()
    theta = {
        n: v + (rig.mask("rest", n) if n in others else 0)
        for n, v in rig.theta.items()
    }
    rig.check("rest", theta)


def test_all_of_it_after_a_part_rests(rig):
    """What was exposed before is forgotten."""
    rig.switch.enter("en")
    rig.switch.expose(PART)
    rig.switch.commit(None)
    rig.switch.expose()
    rig.check("dense")
    rig.switch.commit(None)
    rig.check("rest")
