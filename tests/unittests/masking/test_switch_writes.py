"""PathwaySwitch when others write to parameters or masks change."""

import pytest
import torch

# -- writes from outside -------------------------------------------------------


def write_in_place(rig, new):
    rig.write(new)


def write_by_data(rig, new):
    for target in rig.targets:
        target.parameter.data = new[target.name].clone()


def write_by_data_twice(rig, new):
    # Freed memory is often given to the next tensor of that size.
    write_by_data(rig, {n: v + 1 for n, v in new.items()})
    write_by_data(rig, new)


def write_through_data(rig, new):
    """As averages are copied in: no counter moves."""
    for target in rig.targets:
        target.parameter.data.copy_(new[target.name])


def write_by_state_dict(rig, new):
    state = rig.net.state_dict()
    for target in rig.targets:
        for name in (target.name, *target.aliases):
            state[name] = new[target.name]
    rig.net.load_state_dict(state)


WRITERS = [
    write_in_place,
    write_by_data,
    write_by_data_twice,
    write_by_state_dict,
    write_through_data,
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("state", ["rest", "en"])
@pytest.mark.parametrize(
    "then", ["leave", "enter", "expose", "dense", "refresh"]
)
def test_writes_to_shown_entries_are_kept_and_others_dropped(
    rig, write, state, then
):
    if state == "rest" and then == "leave":
        then = "refresh"
    if state == "en" and then == "refresh":
        then = "leave"
    if state != "rest":
        rig.switch.enter(state)
    new = {n: v * 3 + 1 for n, v in rig.theta.items()}
    write(rig, new)
    expected = {
        n: torch.where(rig.mask(state, n), new[n], v)
        for n, v in rig.theta.items()
    }
    if then == "leave":
        rig.switch.leave()
    elif then == "refresh":
        rig.switch.refresh()
    elif then == "enter":
        rig.switch.enter("it")
        rig.check("it", expected)
        rig.switch.leave()
    elif then == "expose":
        rig.switch.expose()
        rig.check("dense", expected)
        rig.switch.commit(None)
    else:
        for name, values in expected.items():
            assert torch.equal(rig.switch.dense(name), values)
        rig.switch.leave()
    rig.check("rest", expected)


@pytest.mark.parametrize("write", WRITERS)
def test_writes_with_a_single_pathway_are_masked_again(make_rig, write):
    rig = make_rig(["all"])
    new = {n: v * 3 + 1 for n, v in rig.theta.items()}
    for act in (
        lambda: rig.switch.enter("all"),
        lambda: (rig.switch.dense("raw"), rig.switch.enter("all")),
        lambda: rig.switch.refresh(),
    ):
        write(rig, new)
        act()
        for target in rig.targets:
            outside = ~rig.mask("rest", target.name)
            assert not target.parameter[outside].any()
        rig.switch.leave()


def test_many_data_assignments_between_two_calls(rig):
    """max_norm assigns to `.data` in every forward pass."""
    rig.switch.enter("en")
    for _ in range(5):
        weight = rig.net.linear.weight
        weight.data = torch.renorm(weight.data, p=2, dim=0, maxnorm=0.1)
    kept = rig.net.linear.weight.detach().clone()
    rig.switch.leave()
    mask = rig.masks.get("en", "linear.weight")
    held = rig.switch.dense("linear.weight")
    assert torch.equal(held[mask], kept[mask])
    assert torch.equal(held[~mask], rig.theta["linear.weight"][~mask])
    assert not torch.equal(held[mask], rig.theta["linear.weight"][mask])


def test_memory_that_was_assigned_is_known_afterwards(make_rig):
    rig = make_rig(["all"])
    write_by_data(rig, rig.theta)
    rig.switch.enter("all")
    versions = [t.parameter._version for t in rig.targets]
    rig.switch.leave()
    rig.switch.enter("all")
    assert [t.parameter._version for t in rig.targets] == versions
    rig.switch.leave()
    rig.check()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("at", [0, 7, 28, 29])
def test_one_value_that_no_counter_shows_is_seen(make_rig, dtype, at):
    """Clipping may change a single weight, anywhere."""
    rig = make_rig(dtype=dtype)
    for enter in (None, "fr"):
        if enter:
            rig.switch.enter(enter)
        shown = rig.mask(enter or "rest", "raw").view(-1)
        rig.net.raw.data.view(-1)[at] = 2.5
        rig.switch.leave()
        if shown[at]:
            rig.theta["raw"].view(-1)[at] = 2.5
        rig.check()


def test_values_that_change_places_unseen_are_seen(rig):
    rig.net.raw.data.copy_(rig.net.raw.flip(0))
    held = rig.net.raw.detach().clone()
    rig.switch.leave()
    union = rig.mask("rest", "raw")
    assert torch.equal(rig.switch.dense("raw")[union], held[union])


def test_in_a_backward_pass_only_counters_are_looked_at(rig):
    held = rig.switch.dense("raw").clone()
    rig.net.raw.data.mul_(2)
    assert torch.equal(rig.switch.dense("raw", settled=True), held)
    assert not torch.equal(rig.switch.dense("raw"), held)


def test_refresh_also_sees_what_no_counter_shows(rig):
    rig.net.raw.data.mul_(2)
    rig.switch.refresh()
    expected = dict(rig.theta)
    union = rig.mask("rest", "raw")
    expected["raw"] = torch.where(union, expected["raw"] * 2, expected["raw"])
    rig.check(theta=expected)


def test_averaged_checkpoints_keep_their_values_and_lose_their_support(
    make_rig,
):
    rig = make_rig(["all"])
    first = {n: v.clone() for n, v in rig.net.state_dict().items()}
    zeros = {t.name: int((t.parameter == 0).sum()) for t in rig.targets}
    rig.randomize(seed=9)
    rig.switch.refresh()
    second = {n: v.clone() for n, v in rig.net.state_dict().items()}
    average = {n: (first[n] * 2 + second[n]) / 2 for n in first}
    rig.net.load_state_dict(average)
    target = rig.targets[0]
    assert (target.parameter == 0).sum() < zeros[target.name]
    rig.switch.refresh()
    for target in rig.targets:
        mask = rig.masks.get("all", target.name)
        assert int((target.parameter == 0).sum()) == int((~mask).sum())
        assert torch.equal(target.parameter[mask], average[target.name][mask])


# -- masks that change ---------------------------------------------------------


@pytest.mark.parametrize("called", ["refresh", "enter", "leave", "expose"])
def test_new_masks_revive_old_values(rig, called):
    rig.check()
    rig.randomize(seed=5, density=0.6)
    if called == "enter":
        rig.switch.enter("fr")
        rig.check("fr")
        rig.switch.leave()
    elif called == "expose":
        rig.switch.expose()
        rig.check("dense")
        rig.switch.commit(["en"])
    else:
        getattr(rig.switch, called)()
    rig.check()


def test_masks_changed_inside_a_pathway_lose_nothing(rig):
    rig.switch.enter("en")
    with torch.no_grad():
        rig.net.raw.add_(1)
    shown = rig.masks.get("en", "raw")
    rig.randomize(seed=5)
    rig.switch.leave()
    expected = dict(rig.theta)
    # The entries outside the old mask were zeros then, no values.
    expected["raw"] = torch.where(shown, rig.theta["raw"] + 1, expected["raw"])
    rig.check(theta=expected)


def test_set_values(rig):
    where = rig.draw((5, 6), 3) < 0.5
    rig.switch.set_values("raw", where, 7.0)
    expected = dict(rig.theta)
    expected["raw"] = expected["raw"].masked_fill(where, 7.0)
    rig.check(theta=expected)


def test_set_values_before_refresh(rig):
    """As the pruner calls it: masks, then values, then refresh."""
    old = rig.mask("rest", "raw")
    rig.randomize(seed=4, density=0.7)
    revived = rig.mask("rest", "raw") & ~old
    assert revived.any()
    with torch.no_grad():
        rig.net.raw.add_(1)
    rig.switch.set_values("raw", revived, 0.0)
    rig.switch.refresh()
    expected = dict(rig.theta)
    expected["raw"] = torch.where(old, expected["raw"] + 1, expected["raw"])
    expected["raw"] = expected["raw"].masked_fill(revived, 0.0)
    rig.check(theta=expected)
