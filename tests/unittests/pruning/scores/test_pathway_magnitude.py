"""PathwayMagnitude: against a slow oracle, its pace, and what it remembers."""

import copy
import math

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.allocation import global_
from leanbrain.pruning.scores import averages
from leanbrain.pruning.scores.pathway_magnitude import PathwayMagnitude

WEIGHT = torch.tensor([[-3.0, 1.0], [2.0, 0.5]])
GRADIENT = torch.tensor([[1.0, -2.0], [0.5, 4.0]])


def generator(seed):
    return torch.Generator().manual_seed(seed)


def drift_of(score, pathway="en"):
    """How much further the pathway would have moved the magnitudes."""
    return score.state_dict()["drifts"][pathway]["w"].float()


class Oracle:
    """The formulas in float64, with everything kept."""

    def __init__(self, pace, sensitivity, decay):
        self.pace, self.power, self.decay = pace, sensitivity, decay
        self.drift, self.total, self.share, self.before = 0.0, 0.0, 0.0, None
        self.seen = 0

    def observe(self, weight, gradient):
        weight, gradient = weight.double(), gradient.double()
        self.seen += 1
        self.total = self.decay * self.total + (1 - self.decay) * gradient**2
        self.share = self.decay * self.share + (1 - self.decay)
        moved = 0.0
        if self.before is not None:
            moves = (weight - self.before).abs()
            moved = moves[moves > 0].mean() if moves.any() else 0.0
        self.before = weight.clone()
        rows, columns, mean = self.means()
        direction = gradient / (rows * columns / mean).sqrt()
        direction = direction.clamp(-5, 5) * weight.sign()
        self.drift = self.drift - self.pace * moved * direction

    def means(self):
        square = self.total / self.share
        rows, columns = square.mean(1, keepdim=True), square.mean(0)
        return rows, columns, square.mean()

    def value(self, weight):
        drift = self.drift * self.seen / (self.seen + 100)
        ahead = (weight.double().abs() + drift).clamp(min=0)
        rows, columns, mean = self.means()
        inner = (columns / mean).sqrt() * (rows / mean) ** (self.power / 2)
        inner = inner + 0.3 * inner.mean()
        return ahead * inner * mean ** (self.power / 2)


@pytest.mark.parametrize("sensitivity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "dtype, tolerance", [("float32", 1e-4), ("float16", 2e-3)]
)
def test_scores_are_those_of_the_formula(sensitivity, dtype, tolerance):
    draw = generator(0)
    weight = torch.randn(20, 15, generator=draw)
    score = PathwayMagnitude(2.0, sensitivity, decay=0.9, dtype=dtype)
    oracle = Oracle(2.0, sensitivity, decay=0.9)
    scale = torch.rand(20, 1, generator=draw) * torch.rand(15, generator=draw)
    for _ in range(12):
        gradient = scale * (torch.randn(20, 15, generator=draw) + 0.5)
        score.observe("en", "w", weight, gradient)
        oracle.observe(weight, gradient)
        weight = weight - 0.01 * gradient.sign()
    expected = oracle.value(weight).float()
    torch.testing.assert_close(
        score.value("en", "w", weight), expected, rtol=tolerance, atol=tolerance
    )


def channels_last(draw):
    four = torch.randn(3, 5, 2, 4, generator=draw)
    return four.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("block", [80, 7])
def test_blocks_change_nothing(block, monkeypatch):
    def scores():
        draw, score = generator(1), PathwayMagnitude()
        weight = channels_last(draw)
        for _ in range(3):
            score.observe("en", "w", weight, channels_last(draw))
            weight = weight + 0.01
        return score.value("en", "w", weight), score

    whole, _ = scores()
    monkeypatch.setattr(averages, "BLOCK", block)
    parts, score = scores()
    assert torch.equal(parts, whole)
    assert score._space.shape == (2, max(block, 5 * 2 * 4))


def test_it_begins_as_the_magnitude():
    score = PathwayMagnitude()
    assert score.knows("en", "w") and score.seen("en") == 0
    assert torch.equal(score.value("en", "w", WEIGHT), WEIGHT.abs())


@pytest.mark.parametrize("step", [1e-2, 1e-3, 1e-5])
def test_scores_move_as_far_as_the_weights_do(step):
    """Where gradients agree: as far as the weight that they train."""
    start = torch.randn(500, generator=generator(1)).sign()
    weight = start.clone()
    score = PathwayMagnitude(1.0, dtype="float32")
    for _ in range(20):
        score.observe("en", "w", weight, start)
        weight = weight - step * start
    torch.testing.assert_close(
        drift_of(score), torch.full((500,), -19 * step), rtol=0.02, atol=1e-6
    )


def test_a_silent_input_does_not_hold_up_the_pace():
    weight = torch.ones(2048, 512)
    score = PathwayMagnitude(1.0, dtype="float32")
    score.observe("en", "w", weight, torch.ones(2048, 512))
    weight = weight.clone()
    weight[:, 1:] -= 0.1  # no mask keeps the first column
    score.observe("en", "w", weight, torch.ones(2048, 512))
    drift = drift_of(score)
    torch.testing.assert_close(drift, torch.full((2048, 512), -0.1))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("order", [("en", "fr"), ("fr", "en", "en")])
def test_micro_batches_of_a_step_share_what_it_moved(order, told):
    """Accumulated gradients, languages always in the same order."""
    weight, score = torch.ones(500), PathwayMagnitude(1.0, dtype="float32")
    for _ in range(21):
        for pathway in order:
            score.observe(pathway, "w", weight, torch.ones(500))
        if told:
            score.end_window()
        weight = weight + 0.01
    for pathway in ("en", "fr"):
        share = -0.2 * order.count(pathway) / len(order)
        torch.testing.assert_close(
            drift_of(score, pathway), torch.full((500,), share)
        )


def test_a_step_that_moves_nothing_is_no_window_of_several():
    """A rate of 0, a skipped step: the next one counts in full."""
    weight, score = torch.ones(500), PathwayMagnitude(1.0, dtype="float32")
    for step in (0.0, 0.0, 0.0, 0.5):
        weight = weight + step
        score.observe("en", "w", weight, torch.ones(500))
        score.end_window()
    torch.testing.assert_close(drift_of(score), torch.full((500,), -0.5))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_loss_changes_no_order(scale):
    values = []
    for unit in (1.0, scale):
        draw, score = generator(2), PathwayMagnitude()
        weight = torch.randn(300, generator=draw)
        for _ in range(5):
            gradient = torch.randn(300, generator=draw)
            score.observe("en", "w", weight, unit * gradient)
            weight = weight + 0.01
        values.append(score.value("en", "w", weight))
    best = [set(x.topk(150).indices.tolist()) for x in values]
    assert len(best[0] & best[1]) >= 147


def test_masked_weights_do_not_slow_the_pace():
    weight = torch.ones(400)
    score = PathwayMagnitude(1.0, dtype="float32")
    score.observe("en", "w", weight, weight)
    weight = weight.clone()
    weight[::4] -= 0.1  # the others stand still
    score.observe("en", "w", weight, torch.ones(400))
    torch.testing.assert_close(drift_of(score), torch.full((400,), -0.1))


@pytest.mark.parametrize("side", [0, 1])
def test_a_weight_that_matters_outranks_a_larger_one(side):
    weight = torch.tensor([[1.0, 1.5], [1.5, 2.0]])
    gradient = torch.ones(2, 2)
    gradient.select(side, 0).mul_(9.0)
    score = PathwayMagnitude()
    score.observe("en", "w", weight, gradient)
    value = score.value("en", "w", weight)
    assert (value.select(side, 0) > value.select(side, 1)).all()


def test_inputs_count_in_full_and_outputs_by_the_root():
    """As Wanda, for inputs of another size; half as much for outputs."""
    values = []
    for side in (1, 0):
        gradient = torch.ones(2, 2)
        gradient.select(side, 0).mul_(100.0)
        score = PathwayMagnitude(1.0, dtype="float32")
        score.observe("en", "w", torch.ones(2, 2), gradient)
        value = score.value("en", "w", torch.ones(2, 2))
        least = 0.3 * value.mean() / 1.3
        first, other = value.select(side, 0)[0], value.select(side, 1)[0]
        values.append(float((first - least) / (other - least)))
    assert values == pytest.approx([100.0, 10.0], rel=1e-3)


def test_what_a_pathway_wants_counts_by_how_much_it_was_seen():
    weight = torch.ones(3, 3)
    score = PathwayMagnitude(1.0, sensitivity=0.0, dtype="float32")
    shares = []
    for step in range(300):
        weight = weight + 1e-3
        score.observe("en", "w", weight, torch.ones(3, 3))
        if step in (0, 99, 299):
            moved = score.value("en", "w", weight) / 1.3 - weight
            shares.append(float((moved / drift_of(score)).mean()))
    assert math.isnan(shares[0])  # one look: nothing moved yet
    assert shares[1:] == pytest.approx([0.5, 0.75], rel=1e-3)


def test_scores_compare_between_tensors():
    """A tensor whose gradients are larger has the larger scores."""
    score = PathwayMagnitude()
    for name, size in (("a", 1.0), ("b", 4.0)):
        score.observe("en", name, WEIGHT, size * GRADIENT)
    ratio = score.value("en", "b", WEIGHT) / score.value("en", "a", WEIGHT)
    torch.testing.assert_close(ratio, torch.full((2, 2), 2.0))


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e3])
def test_a_tensor_that_was_not_seen_is_neither_first_nor_last(size):
    """Layer drop and frozen branches: magnitudes compare with no score."""
    draw, score = generator(4), PathwayMagnitude()
    weights = {x: torch.randn(40, 30, generator=draw) for x in "abc"}
    for name in "ab":
        gradient = size * torch.randn(40, 30, generator=draw)
        score.observe("en", name, weights[name], gradient)
    values = {x: score.value("en", x, y) for x, y in weights.items()}
    counts = global_(values, 0.5)
    assert sum(counts.values()) == 1800
    assert all(abs(count - 600) < 100 for count in counts.values())
    # As that of the others: the same weights have the same mean score.
    alike = [score.value("en", x, torch.ones(40, 30)).mean() for x in "abc"]
    assert float(alike[2]) == pytest.approx(float(sum(alike[:2])) / 2)


def test_a_pathway_that_was_not_seen_goes_by_the_others():
    score = PathwayMagnitude()
    for _ in range(3):
        score.observe("en", "w", WEIGHT, GRADIENT)
    own, other = (score.value(x, "w", WEIGHT) for x in ("en", "fr"))
    assert torch.equal(own, other)
    for _ in range(50):
        score.observe("fr", "w", WEIGHT, GRADIENT.flip(0, 1))
    gone = score.value("fr", "w", WEIGHT) / score.value("en", "w", WEIGHT)
    assert float(gone.max() / gone.min()) > 1.1


def test_resting_weights_leave_scores_alone():
    score = PathwayMagnitude()
    for _ in range(3):
        score.observe("en", "w", WEIGHT, GRADIENT)
    assert not drift_of(score).any()


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), 1e30])
def test_a_gradient_that_is_not_finite_leaves_no_trace(bad):
    score = PathwayMagnitude()
    score.observe("en", "w", WEIGHT, GRADIENT)
    before = copy.deepcopy(score.state_dict())
    broken = GRADIENT.clone()
    broken[1, 0] = bad
    assert score.observe("en", "w", WEIGHT - 1, broken) is False
    after = score.state_dict()
    assert str(after) == str(before)
    assert score.seen("en") == 1


@pytest.mark.parametrize("scale", [0.0, 1e-45, 1e-25])
def test_no_gradient_to_speak_of_moves_nothing_far(scale):
    score = PathwayMagnitude(1.0, dtype="float32")
    for shift in (0.0, 0.1):
        assert score.observe("en", "w", WEIGHT + shift, GRADIENT * scale)
    value = score.value("en", "w", WEIGHT)
    assert value.isfinite().all() and (value > 0).all()
    assert float(drift_of(score).abs().max()) <= 0.21


def test_gradients_of_all_sizes_in_one_tensor_move_scores_no_further():
    gradient = torch.logspace(-20, 3, 24).view(4, 6)
    score = PathwayMagnitude(1.0)
    for step in range(3):
        score.observe("en", "w", torch.full((4, 6), 1 - 0.1 * step), gradient)
    drift = drift_of(score)
    assert drift.isfinite().all() and float(drift.abs().max()) <= 5 * 0.21


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_gradients_are_widened_before_they_are_squared(dtype):
    score = PathwayMagnitude(sensitivity=1.0, dtype="float32")
    values = []
    for name, size in (("a", 1e-4), ("b", 2e-4)):
        weight = torch.ones(1, 2, dtype=dtype)
        score.observe("en", name, weight, size * weight)
        values.append(score.value("en", name, weight))
    torch.testing.assert_close(values[1], 2 * values[0], rtol=0.01, atol=0)


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_saved_and_resumed_is_not_interrupted(looks):
    """Also within a window of accumulated gradients."""
    score = PathwayMagnitude()
    for n in range(looks):
        score.observe("en", "w", WEIGHT + 0.1 * (n // 2), GRADIENT)
    state = copy.deepcopy(score.state_dict())
    resumed = PathwayMagnitude()
    resumed.load_state_dict(state)
    for one in (score, resumed):
        for n in range(looks, looks + 3):
            one.observe("en", "w", WEIGHT + 0.1 * (n // 2), GRADIENT)
    assert str(resumed.state_dict()) == str(score.state_dict())
    assert resumed.seen("en") == looks + 3
    assert state["seen"]["en"]["w"] == looks  # copied, not taken


def test_a_reset_of_a_pathway_only_counts_anew():
    score = PathwayMagnitude()
    for shift in (0.0, 0.1):
        score.observe("en", "w", WEIGHT + shift, GRADIENT)
    before = score.value("en", "w", WEIGHT)
    score.reset("en")
    assert score.seen("en") == 0
    assert torch.equal(score.value("en", "w", WEIGHT), before)
    score.reset()
    assert torch.equal(score.value("en", "w", WEIGHT), WEIGHT.abs())
    assert score.state_dict() == PathwayMagnitude().state_dict()


@pytest.mark.parametrize("dtype, each", [("float32", 4), ("float16", 2)])
def test_it_holds_what_it_says(dtype, each):
    score = PathwayMagnitude(dtype=dtype)
    weight = torch.ones(60, 50)
    for pathway in ("en", "fr"):
        score.observe(pathway, "w", weight, weight)
    drifts = score.state_dict()["drifts"].values()
    held = sum(x["w"].nbytes for x in drifts)
    assert held == 2 * each * 3000
    told = score.holds([3000], 2, at_once=2)
    scratch = 3 * 4 * 3000
    assert held + scratch <= told <= held + scratch + 4 * 2048


class SecondRank:
    """Stands for `torch.distributed`, with a state on another rank."""

    def __init__(self, states, seen):
        self.states, self.seen, self.asked = states, seen, iter(states)

    def is_available(self):
        return True

    is_initialized = is_available

    def get_world_size(self):
        return 2

    def get_backend(self):
        return "gloo"

    def all_gather_object(self, ranks, facts):
        self.now = next(self.asked)
        theirs = {
            name: (tuple(values.shape), self.seen, 0.0)
            for name, values in self.now.items()
        }
        ranks[:] = facts, theirs
        self.left = [self.now[name] for name in sorted(self.now)]

    def all_reduce(self, total):
        total += self.left.pop(0)


@pytest.mark.parametrize("observes", [True, False])
def test_ranks_average_what_they_observed(monkeypatch, observes):
    score = PathwayMagnitude(1.0, dtype="float32")
    for shift in (0.0, 0.5) if observes else ():
        score.observe("en", "w", WEIGHT + shift, GRADIENT)
    drift = drift_of(score) if observes else None
    other = torch.full((2, 2), 0.25)
    square, mean = torch.full((2,), 7.0), GRADIENT.square().mean
    states = [{"w": other}, {"0w": square, "1w": square}]
    monkeypatch.setattr(averages, "dist", SecondRank(states, seen=3))
    score.reduce("en")
    monkeypatch.undo()
    expected = (drift + other) / 2 if observes else other
    torch.testing.assert_close(drift_of(score), expected)
    assert score.seen("en") == 3
    rows, columns = score._squares.means("en", "w")
    for side, means in ((1, rows), (0, columns)):
        both = (mean(side) + square) / 2 if observes else square
        torch.testing.assert_close(means.flatten(), both)


def test_alone_nothing_is_copied_to_meet():
    score = PathwayMagnitude()
    score.observe("en", "w", WEIGHT, GRADIENT)
    before = score.state_dict()["drifts"]["en"]["w"]
    score.reduce("en")
    assert score.state_dict()["drifts"]["en"]["w"] is before


def test_settings_and_shapes_are_checked():
    with pytest.raises(UserError, match="`pace` must be a finite number > 0"):
        PathwayMagnitude(pace=0)
    with pytest.raises(UserError, match=r"`sensitivity` must be in \[0, 1\]"):
        PathwayMagnitude(sensitivity=2)
    with pytest.raises(UserError, match="`dtype` must be float32 or float16"):
        PathwayMagnitude(dtype="int8")
    score = PathwayMagnitude()
    with pytest.raises(UserError, match=r"`gradient` .* \(2, 2\); got \(4,\)"):
        score.observe("en", "w", WEIGHT, GRADIENT.view(-1))
    score.observe("en", "w", WEIGHT, GRADIENT)
    with pytest.raises(UserError, match=r"`weight` of 'w' .* got \(4,\)"):
        score.value("en", "w", WEIGHT.view(-1))
    with pytest.raises(UserError, match="PathwayMagnitude must have .* none"):
        score.load_state_dict({})
