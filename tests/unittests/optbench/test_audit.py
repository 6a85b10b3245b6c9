"""Each check of the audit passes what is right and fails what is wrong."""

import math

import pytest
import torch

from leanbrain.optbench.trials.audit import (
    Check,
    OrderHash,
    check_class,
    check_clipping,
    check_groups,
    check_order,
    check_schedule,
    check_threads,
    first_failure,
)
from leanbrain.optbench.trials.kernels import (
    kernel_flavour,
    state_bytes_per_parameter,
    weights_hash,
)


class MySGD(torch.optim.SGD):
    """Steps like SGD but is another class."""


def layers():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("kind", "passed"),
    [(torch.optim.SGD, True), (MySGD, False), (torch.optim.AdamW, False)],
)
def test_class_is_exactly_the_expected_one(kind, passed):
    check = check_class(kind([torch.zeros(1)], lr=0.1), "torch.optim.SGD")
    assert check.passed is passed
    assert passed or kind.__name__ in check.detail


def test_a_class_that_does_not_exist_fails():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    assert not check_class(optimizer, "torch.optim.Nothing").passed


def test_groups_may_be_split_in_any_way():
    model = layers()
    model[0].bias.requires_grad_(False)
    first, *rest = (p for p in model.parameters() if p.requires_grad)
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": rest}], lr=0.1)
    check = check_groups(optimizer, model)
    assert check.passed
    assert check.detail == "3 parameters in 2 groups"


def test_groups_that_hold_too_little_or_too_much_fail():
    model = layers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    held = optimizer.param_groups[0]["params"]
    held.append(held.pop(0))
    assert check_groups(optimizer, model).passed

    twice = held[:]
    optimizer.param_groups[0]["params"] = [*twice, twice[0]]
    check = check_groups(optimizer, model)
    assert not check.passed
    assert "1 held more than once (first: 0.bias)" in check.detail

    optimizer.param_groups[0]["params"] = twice[1:]
    check = check_groups(optimizer, model)
    assert not check.passed
    assert "1 in no group (first: 0.bias)" in check.detail

    optimizer.param_groups[0]["params"] = [*twice, torch.zeros(1)]
    check = check_groups(optimizer, model)
    assert not check.passed
    assert "1 held that the model does not train" in check.detail


@pytest.mark.parametrize(
    ("norm", "passed"),
    [
        (0.0, True),
        (2.0, True),
        (2.0001, True),
        (2.001, False),
        (math.nan, True),
    ],
)
def test_clipping_allows_rounding_only(norm, passed):
    assert check_clipping([(1, 0.5), (2, norm)], 2.0).passed is passed


def test_schedule_must_hold_for_every_group_at_every_point():
    def falling(progress):
        return 1 - progress

    base, total = [0.1, 0.02], 10
    trace = [
        (steps, [x * falling((steps - 1) / total) for x in base])
        for steps in (1, 5, 10)
    ]
    assert check_schedule(trace, base, falling, total).passed
    for point in range(3):
        for group in range(2):
            wrong = [(steps, list(rates)) for steps, rates in trace]
            wrong[point][1][group] *= 1.001
            check = check_schedule(wrong, base, falling, total)
            assert not check.passed
            assert f"at step {trace[point][0]}" in check.detail
    assert not check_schedule([(1, [0.1])], base, falling, total).passed


def test_order_hash_depends_on_items_order_and_borders():
    orders = (
        [["a", "b"], ["c"]],
        [["a"], ["b", "c"]],
        [["c"], ["a", "b"]],
        [["b", "a"], ["c"]],
        [["a", "b"], ["c"], []],
        [['a", "b'], ["c"]],
    )
    found = set()
    for batches in orders:
        order = OrderHash()
        for ids in batches:
            order.add(ids)
        found.add(order.hex())
    assert len(found) == len(orders)


def test_order_is_checked_at_every_record():
    batches = [[f"{i}", f"{i + 1}"] for i in range(6)]
    order, recorded = OrderHash(), []
    for number, ids in enumerate(batches, start=1):
        order.add(ids)
        if number % 2 == 0:
            recorded.append((number, order.hex()))
    assert check_order(recorded, batches).passed
    assert not check_order(recorded, batches[:5]).passed
    swapped = [*batches[:3], batches[4], batches[3], batches[5]]
    check = check_order(recorded, swapped)
    assert not check.passed
    assert "first 4 steps" in check.detail


def test_threads():
    assert check_threads(torch.get_num_threads()).passed
    check = check_threads(torch.get_num_threads() + 1)
    assert not check.passed
    assert "expected" in check.detail


def test_the_first_failure_is_the_reason():
    good, bad = Check("a", True, "x"), Check("b", False, "broken")
    assert first_failure([good, good]) is None
    assert first_failure([good, bad, Check("c", False, "y")]) == (
        "The audit of b failed: broken."
    )


@pytest.mark.parametrize(
    ("settings", "flavour", "size"),
    [
        ({"foreach": False}, "for-loop", 0.0),
        ({"foreach": True}, "foreach", 0.0),
        ({"fused": True}, "fused", 0.0),
        ({"momentum": 0.9, "foreach": True}, "foreach", 4.0),
    ],
)
def test_kernels_and_state_are_measured(settings, flavour, size):
    optimizer = torch.optim.SGD(layers().parameters(), lr=0.1, **settings)
    assert kernel_flavour(optimizer) == flavour
    assert state_bytes_per_parameter(optimizer) == size


def test_weights_hash_sees_every_bit():
    model = layers()
    before = weights_hash(model)
    assert weights_hash(model) == before
    with torch.no_grad():
        bias = model[1].bias
        bias[1] = torch.nextafter(bias[1], torch.tensor(math.inf))
    assert weights_hash(model) != before
