"""Running averages against float64, in every format; averages over ranks."""

import pytest
import torch
import torch.distributed as dist

from leanbrain.pruning.scores import averages
from leanbrain.pruning.scores.averages import RunningAverage, reduce_over_ranks
from leanbrain.pruning.scores.codes import code_of

# Relative error after 20 observations; rounding errors partly add up.
ERRORS = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 4e-2, "int8": 0.25}


def take_all(dtype, observations, decay):
    """An average that has taken in all observations."""
    average = RunningAverage.empty(code_of(dtype), observations[0])
    scratch = torch.empty(RunningAverage.scratch_size(observations[0]))
    for fresh in observations:
        average.take(fresh, float(fresh.max()), decay, scratch)
    return average


def observe(count, size, seed=0, unit=1.0):
    """Noisy observations of one heavy-tailed truth."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(size, generator=generator).exp_()
    return [
        truth * torch.rand(size, generator=generator) * unit
        for _ in range(count)
    ]


def corrected(observations, decay):
    """ema / (1 - decay^n), the textbook way, in float64."""
    ema = torch.zeros_like(observations[0], dtype=torch.float64)
    for fresh in observations:
        ema = decay * ema + (1 - decay) * fresh.double()
    return ema / (1 - decay ** len(observations))


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("dtype", ERRORS)
def test_against_the_textbook(dtype, decay, unit):
    observations = observe(20, (40, 50), unit=unit)
    average = take_all(dtype, observations, decay)
    exact = corrected(observations, decay)
    # Far below the largest entry one byte has no levels left.
    large = exact > 1e-3 * exact.max()
    error = (average.value().double() - exact).div(exact).abs()[large].max()
    assert error < ERRORS[dtype]
    assert average.seen == 20
    assert average.values.dtype == code_of(dtype).dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize("jump", [1e-12, 1e12])
def test_a_jump_of_the_unit_neither_overflows_nor_vanishes(dtype, jump):
    observations = observe(1, (1000,)) + observe(80, (1000,), unit=jump)
    average = take_all(dtype, observations, 0.5)
    exact = corrected(observations, 0.5)
    best = exact.topk(100).indices.tolist()
    found = average.value().topk(100).indices.tolist()
    assert len(set(best) & set(found)) >= 88
    assert average.value().isfinite().all()


@pytest.mark.parametrize(
    "dtype, least", [("float16", 0.995), ("bfloat16", 0.99), ("int8", 0.96)]
)
def test_the_best_tenth_stays_the_best(dtype, least):
    observations = observe(30, (10_000,))
    exact = corrected(observations, 0.9).topk(1000).indices.tolist()
    value = take_all(dtype, observations, 0.9).value()
    found = value.topk(1000).indices.tolist()
    assert len(set(exact) & set(found)) >= least * 1000


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_blocks_change_nothing(monkeypatch, dtype):
    observations = observe(3, (11, 13))
    expected = take_all(dtype, observations, 0.9)
    monkeypatch.setattr(averages, "BLOCK", 10)
    assert RunningAverage.scratch_size(observations[0]) == 10
    result = take_all(dtype, observations, 0.9)
    assert torch.equal(result.values, expected.values)


@pytest.mark.parametrize("dtype", ERRORS)
@pytest.mark.parametrize("tiny", [0.0, 1e-44])
def test_nothing_but_zeros_and_values_as_good_as_zero(dtype, tiny):
    zeros = torch.full((4,), tiny)
    average = take_all(dtype, [zeros, zeros], 0.9)
    torch.testing.assert_close(average.value(), zeros, rtol=0, atol=1e-43)
    # And the first real observation counts as it should.
    average.take(torch.ones(4), 1.0, 0.0, torch.empty(4))
    assert average.value().tolist() == pytest.approx([1.0] * 4, rel=0.04)


def test_value_is_a_copy():
    average = take_all("float32", observe(1, (4,)), 0.9)
    before = average.value().tolist()
    average.value().fill_(-1.0)
    assert average.value().tolist() == before


class FakeRanks:
    """Stands for `torch.distributed` with a second rank beside this one."""

    def __init__(self, other):
        self.other = other
        self.order = sorted(other)

    def is_available(self):
        return True

    def is_initialized(self):
        return True

    def get_world_size(self):
        return 2

    def get_backend(self):
        return "gloo"

    def all_gather_object(self, ranks, facts):
        ranks[0] = facts
        ranks[1] = {
            name: (tuple(a.values.shape), a.seen, a.bound)
            for name, a in self.other.items()
        }
        self.names = sorted(set(ranks[0]) | set(ranks[1]))

    def all_reduce(self, total):
        name = self.names.pop(0)
        if name in self.other:
            total += self.other[name].value()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_ranks_average_what_either_has_seen(monkeypatch, dtype):
    mine = {
        "both": take_all(dtype, observe(3, (5, 4), seed=1), 0.9),
        "mine": take_all(dtype, observe(2, (6,), seed=2), 0.9),
    }
    other = {
        "both": take_all(dtype, observe(7, (5, 4), seed=3, unit=50.0), 0.9),
        "other": take_all(dtype, observe(4, (3, 3), seed=4), 0.9),
    }
    expected = {
        "both": (mine["both"].value() + other["both"].value()) / 2,
        "mine": mine["mine"].value(),
        "other": other["other"].value(),
    }
    monkeypatch.setattr(averages, "dist", FakeRanks(other))
    reduced = reduce_over_ranks(mine, code_of(dtype))
    assert sorted(reduced) == ["both", "mine", "other"]
    assert [reduced[name].seen for name in expected] == [7, 2, 4]
    for name, average in reduced.items():
        assert average.values.dtype == code_of(dtype).dtype
        torch.testing.assert_close(
            average.value(), expected[name], rtol=2e-3, atol=0
        )


def test_a_single_process_is_left_as_it_is():
    mine = {"w": take_all("int8", observe(2, (5,)), 0.9)}
    assert not dist.is_initialized()
    assert reduce_over_ranks(mine, code_of("int8"))["w"] is mine["w"]
