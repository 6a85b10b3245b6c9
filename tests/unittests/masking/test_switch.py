"""States of PathwaySwitch, against theta kept by hand and functional_call."""

import pytest
import torch
from torch.func import functional_call

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, PathwaySwitch

PATHWAYS = ["en", "fr", "it"]

# -- states --------------------------------------------------------------------


def test_full_masks_change_nothing(make_rig):
    rig = make_rig(masked=False)
    for state in ("rest", *PATHWAYS):
        if state != "rest":
            rig.switch.enter(state)
        rig.check(state)


@pytest.mark.parametrize(
    "path",
    [
        ["rest"],
        ["en", "rest"],
        ["en", "fr", "it", "rest"],
        ["en", "en", "rest", "rest"],
        ["dense", "rest", "it", "dense", "rest"],
        ["fr", "dense", "dense", "rest", "fr"],
    ],
)
@pytest.mark.parametrize("pathways", [PATHWAYS, ["en", "fr", "it", "x"]])
def test_every_state_shows_its_mask_and_keeps_theta(path, pathways, make_rig):
    rig = make_rig(pathways)
    rig.check()
    for state in path:
        if state == "rest":
            rig.switch.leave()
        elif state == "dense":
            rig.switch.expose()
        else:
            rig.switch.enter(state)
        rig.check(state)


def test_one_pathway_is_its_own_union(make_rig):
    rig = make_rig(["all"])
    rig.check()
    before = [t.parameter._version for t in rig.targets]
    with rig.switch.pathway("all"):
        rig.check("all")
    rig.check()
    assert [t.parameter._version for t in rig.targets] == before


def test_pathway_rests_in_any_case(rig):
    with rig.switch.pathway("en") as inside:
        assert inside is rig.switch
        rig.check("en")
    rig.check()
    with pytest.raises(ZeroDivisionError), rig.switch.pathway("fr"):
        1 / 0  # noqa: B018
    rig.check()


def test_an_interrupt_while_entering_is_mended(rig, monkeypatch):
    last = rig.switch._slots._slots[rig.targets[-1].name]

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(last, "show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rig.switch.enter("en")
    assert (rig.targets[0].parameter == 0).sum() > (
        ~rig.mask("rest", rig.targets[0].name)
    ).sum()
    rig.switch.leave()
    rig.check()


def test_infinity_does_not_leak(rig):
    name = "linear.weight"
    mask = rig.masks.get("en", name)
    where = ~mask & rig.mask("rest", name)
    with torch.no_grad():
        rig.net.linear.weight[where] = float("inf")
    with rig.switch.pathway("en"):
        assert not rig.net.linear.weight[where].any()
    assert rig.net.linear.weight[where].isinf().all()


# -- functional oracle ---------------------------------------------------------


def masked_arguments(rig, state, leaves):
    """theta * mask for every name, tied names sharing one tensor."""
    arguments = dict(leaves)
    for target in rig.targets:
        masked = torch.where(
            rig.mask(state, target.name), leaves[target.name], 0.0
        )
        for name in (target.name, *target.aliases):
            arguments[name] = masked
    return arguments


@pytest.mark.parametrize("state", ["rest", "en", "it"])
def test_outputs_and_gradients_equal_functional_call(rig, state):
    x = rig.draw((2, 7, 6), 1).double()
    leaves = {
        n: rig.theta.get(n, p.detach()).clone().requires_grad_()
        for n, p in rig.net.named_parameters()
    }
    wanted = functional_call(
        rig.net, masked_arguments(rig, state, leaves), (x,)
    )
    wanted.square().sum().backward()
    if state != "rest":
        rig.switch.enter(state)
    got = rig.net(x)
    got.square().sum().backward()
    rig.switch.leave()
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    for name, parameter in rig.net.named_parameters():
        gradient = parameter.grad
        if name in rig.theta:
            gradient = torch.where(rig.mask(state, name), gradient, 0.0)
        torch.testing.assert_close(
            gradient, leaves[name].grad, rtol=1e-10, atol=1e-12
        )
    rig.check()


def test_leaving_before_backward_is_an_error_not_a_wrong_gradient(rig):
    x = rig.draw((2, 7, 6), 1).double()
    rig.switch.enter("en")
    loss = rig.net(x).sum()
    rig.switch.leave()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# -- optimizer steps -----------------------------------------------------------


def micro_batch(rig, pathway, seed):
    """Forward and backward of one pathway; gradients masked by hand."""
    kept = {
        t.name: None if t.parameter.grad is None else t.parameter.grad.clone()
        for t in rig.targets
    }
    for target in rig.targets:
        target.parameter.grad = None
    with rig.switch.pathway(pathway):
        rig.net(rig.draw((2, 7, 6), seed).double()).square().mean().backward()
    for target in rig.targets:
        mask = rig.masks.get(pathway, target.name)
        gradient = torch.where(mask, target.parameter.grad, 0.0)
        if kept[target.name] is not None:
            gradient = gradient + kept[target.name]
        target.parameter.grad = gradient


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "adamw_foreach": lambda p: torch.optim.AdamW(
        p, lr=1e-2, weight_decay=0.1, foreach=True
    ),
    "adamw_fused": lambda p: torch.optim.AdamW(
        p, lr=1e-2, weight_decay=0.1, fused=True
    ),
    "sgd": lambda p: torch.optim.SGD(
        p, lr=1e-2, momentum=0.9, weight_decay=0.1
    ),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_inactive_entries_stay_bit_equal(rig, make):
    optimizer = make(rig.net.parameters())
    expected = {n: v.clone() for n, v in rig.theta.items()}
    windows = [["en"], ["fr", "it"], ["it"], ["en", "fr"]]
    for step in range(20):
        window = windows[step % 4]
        for i, pathway in enumerate(window):
            micro_batch(rig, pathway, 10 * step + i)
        rig.switch.expose()
        rig.check("dense", expected)
        optimizer.step()
        stepped = {t.name: t.parameter.detach().clone() for t in rig.targets}
        optimizer.zero_grad()
        rig.switch.commit(window)
        for target in rig.targets:
            name = target.name
            active = torch.stack([rig.masks.get(p, name) for p in window]).any(
                0
            )
            assert not torch.equal(stepped[name], expected[name])
            expected[name] = torch.where(active, stepped[name], expected[name])
        rig.check("rest", expected)
    union = {n: rig.mask("rest", n) for n in expected}
    for name, value in expected.items():
        assert torch.equal(value[~union[name]], rig.theta[name][~union[name]])
        assert not torch.equal(value[union[name]], rig.theta[name][union[name]])


def test_commit_of_none_takes_every_entry(rig):
    rig.switch.expose()
    with torch.no_grad():
        for target in rig.targets:
            target.parameter.mul_(2).add_(1)
    rig.switch.commit(None)
    rig.check(theta={n: v * 2 + 1 for n, v in rig.theta.items()})


@pytest.mark.parametrize("window", [None, [], ["en"], PATHWAYS])
def test_commit_without_a_step_changes_nothing(rig, window):
    rig.switch.expose()
    rig.switch.commit(window)
    rig.check()


def test_an_empty_window_moves_nothing(rig):
    rig.switch.expose()
    with torch.no_grad():
        rig.net.linear.weight.add_(1)
    rig.switch.commit([])
    rig.check()


def test_exposing_twice_forgets_nothing(rig):
    rig.switch.expose()
    with torch.no_grad():
        rig.net.raw.add_(1)
    rig.switch.expose()
    rig.switch.commit([])
    rig.check()


def test_leaving_the_dense_state_takes_what_no_counter_shows(rig):
    rig.switch.expose()
    rig.net.raw.data.add_(1)
    rig.switch.leave()
    rig.check(theta={**rig.theta, "raw": rig.theta["raw"] + 1})


def test_dense_returns_values_from_before_the_step(rig):
    rig.switch.expose()
    with torch.no_grad():
        rig.net.raw.add_(1)
    assert torch.equal(rig.switch.dense("raw"), rig.theta["raw"])
    rig.switch.leave()
    assert torch.equal(rig.switch.dense("raw"), rig.theta["raw"] + 1)


# -- misuse --------------------------------------------------------------------


def test_refuses_calls_in_the_wrong_state(rig):
    switch = rig.switch
    with pytest.raises(UserError, match="`pathway` must be one of en, fr, it"):
        switch.enter("de")
    with pytest.raises(UserError, match="`pathway` must be one of"):
        switch.pathway("de").__enter__()
    with pytest.raises(
        UserError,
        match="`commit` must be called in the state dense, got 'rest'",
    ):
        switch.commit()
    with pytest.raises(UserError, match="`name` must be one of"):
        switch.dense("war")
    switch.enter("en")
    for call in (
        switch.refresh,
        switch.adopt,
        switch.dormant,
        lambda: switch.load_dormant({}),
        lambda: switch.set_values("raw", torch.ones(5, 6).bool(), 0.0),
        lambda: switch.pathway("fr").__enter__(),
    ):
        with pytest.raises(UserError, match="in the state rest.*, got 'en'"):
            call()
        rig.check("en")
    switch.expose()
    with pytest.raises(UserError, match="`enter` must be called .*got 'dense'"):
        switch.enter("en")
    with pytest.raises(UserError, match="`pathways` must be a list of names"):
        switch.commit("en")
    with pytest.raises(UserError, match="`pathway` must be one of"):
        switch.commit(["de"])
    rig.check("dense")


def test_refuses_misfits(rig):
    with pytest.raises(UserError, match=r"`where` must be bool \[5, 6\]"):
        rig.switch.set_values("raw", torch.ones(6, 5).bool(), 0.0)
    with pytest.raises(UserError, match="got torch.float32"):
        rig.switch.set_values("raw", torch.ones(5, 6), 0.0)
    for name in ("rest", "dense"):
        masks = MaskSet.from_targets(rig.targets, ["en", name])
        with pytest.raises(UserError, match=f"are states, got '{name}'"):
            PathwaySwitch(rig.targets, masks)
    masks = MaskSet.from_targets(rig.targets[1:], ["en"])
    with pytest.raises(UserError, match="a difference at raw"):
        PathwaySwitch(rig.targets, masks)
    shapes = {**rig.masks.shapes, "raw": [6, 5], "war": [2]}
    with pytest.raises(UserError, match="a difference at raw, war"):
        PathwaySwitch(rig.targets, MaskSet(shapes, ["en"]))
