"""Exact selection against a sort, with ties, infinities and any sample."""

import math
import weakref
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.updates import brackets, topk
from leanbrain.pruning.updates.topk import top_counts, top_mask

# Few distinct values: ties everywhere.
values = st.sampled_from([-math.inf, -1.5, 0.0, 1e-30, 0.5, 2.0, math.inf])


def by_sort(score, keep, among=None):
    """The indices that a stable sort puts first."""
    flat = score.reshape(-1).tolist()
    allowed = [True] * len(flat)
    if among is not None:
        allowed = among.reshape(-1).tolist()
    order = [i for i in range(len(flat)) if allowed[i]]
    order.sort(key=lambda i: -flat[i])  # stable: equal ones by index
    mask = torch.zeros(len(flat), dtype=torch.bool)
    mask[order[:keep]] = True
    return mask.view(score.shape)


@pytest.fixture(params=["direct", "sampled"], scope="module")
def small(request):
    """Ranks short lists directly, or samples them like long ones."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "sampled":
            patch.setattr(brackets, "_SMALL", 0)
        yield


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_top_mask_is_the_stable_sort(small, data):
    score = torch.tensor(data.draw(st.lists(values, min_size=1, max_size=60)))
    pool = data.draw(st.none() | st.lists(st.booleans(), min_size=60))
    among = None if pool is None else torch.tensor(pool)[: len(score)]
    available = len(score) if among is None else int(among.sum())
    keep = data.draw(st.integers(0, available))
    result = top_mask(score, keep, among)
    assert result.dtype == torch.bool
    assert torch.equal(result, by_sort(score, keep, among))


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_top_counts_is_the_stable_sort(small, data):
    lists = st.lists(st.lists(values, max_size=20), min_size=1, max_size=5)
    tensors = [torch.tensor(part) for part in data.draw(lists)]
    together = torch.cat(tensors)
    keep = data.draw(st.integers(0, len(together)))
    parts = by_sort(together, keep).split([len(part) for part in tensors])
    counts = top_counts(dict(enumerate(tensors)), keep)
    assert list(counts.values()) == [int(part.sum()) for part in parts]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16]
)
@pytest.mark.parametrize("share", [1e-4, 0.3, 0.7, 0.9999])
def test_long_tensors_of_all_dtypes(dtype, share):
    generator = torch.Generator().manual_seed(0)
    # float16 and bfloat16 bring thousands of ties.
    score = torch.randn(150, 200, generator=generator).to(dtype)
    among = torch.rand(150, 200, generator=generator) < 0.4
    for pool, available in ((None, score.numel()), (among, int(among.sum()))):
        keep = round(share * available)
        result = top_mask(score, keep, pool)
        assert torch.equal(result, by_sort(score, keep, pool))


def test_float64_is_not_ranked_in_float32():
    score = 1.0 + torch.arange(10_000, dtype=torch.float64) * 1e-13
    assert torch.equal(
        top_mask(score, 3).nonzero().view(-1), torch.tensor([9997, 9998, 9999])
    )


@pytest.mark.parametrize("bracket", [(2.0, 3.0), (-3.0, -2.0), (0.1, 0.1)])
def test_a_misleading_sample_changes_nothing(monkeypatch, bracket):
    generator = torch.Generator().manual_seed(1)
    score = torch.randn(500, generator=generator).clamp_(-1, 1)
    parts = {"a": score[:100], "b": score[100:]}
    expected = by_sort(score, 200)
    monkeypatch.setattr(topk, "bracket", lambda samples, share: bracket)
    assert torch.equal(top_mask(score, 200), expected)
    first = int(expected[:100].sum())
    assert top_counts(parts, 200) == {"a": first, "b": 200 - first}


def test_the_sample_is_small_and_the_bracket_narrow():
    score = torch.randn(10**6, generator=torch.Generator().manual_seed(2))
    taken = brackets.sample(score, None)
    low, high = brackets.bracket([taken], 0.3)
    inside = int(((score >= low) & (score <= high)).sum())
    assert taken.numel() <= 10_001
    assert 0 < inside < 0.06 * score.numel()
    assert int((score > high).sum()) < 300_000 < int((score >= low).sum())


@pytest.mark.parametrize("restricted", [False, True])
def test_the_sample_leads_to_one_pass_only(monkeypatch, restricted):
    passes = []

    def counted(*args):
        passes.append(args)
        return split(*args)

    split = topk.split
    monkeypatch.setattr(topk, "split", counted)
    generator = torch.Generator().manual_seed(4)
    score = torch.randn(30_000, generator=generator)
    among = torch.rand(30_000, generator=generator) < 0.4
    top_mask(score, 5_000, among if restricted else None)
    assert len(passes) == 1


def test_ten_equal_weights_keep_the_first_five():
    expected = torch.tensor([True] * 5 + [False] * 5)
    assert torch.equal(top_mask(torch.ones(10), 5), expected)


def test_ties_fill_up_by_index_among_the_candidates():
    among = torch.tensor([False, True, False, True, True, True])
    expected = torch.tensor([False, True, False, True, False, False])
    assert torch.equal(top_mask(torch.zeros(6), 2, among), expected)


def test_one_entry_and_all_and_none():
    one = torch.tensor([[3.0]])
    assert top_mask(one, 1).tolist() == [[True]]
    assert top_mask(one, 0).tolist() == [[False]]
    assert top_counts({"a": one, "b": one}, 2) == {"a": 1, "b": 1}
    assert top_counts({"a": one, "b": one}, 0) == {"a": 0, "b": 0}


def test_a_transposed_tensor_ties_by_its_own_rows():
    score = torch.zeros(3, 2).t()
    assert top_mask(score, 2).tolist() == [[True, True, False], [False] * 3]
    score = torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 0.0]]).t()
    assert top_mask(score, 2).tolist() == [
        [False, False, True],
        [True, False, False],
    ]


def test_all_candidates_are_a_copy_and_inputs_are_untouched():
    among = torch.tensor([True, False, True])
    score = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    result = top_mask(score, 2, among)
    result[:] = False
    assert among.tolist() == [True, False, True]
    assert score.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "score, keep, among, message",
    [
        (torch.tensor([1.0, math.nan]), 1, None, "`score` must be free of NaN"),
        (torch.tensor([1.0, math.nan]), 0, None, "`score` must be free of NaN"),
        (
            torch.tensor([1, 2]),
            1,
            None,
            "`score` must be a floating-point tensor",
        ),
        (torch.ones(2), 3, None, r"`keep` .* candidates \(2\), got 3"),
        (torch.ones(2), -1, None, "`keep` must be an integer >= 0, got -1"),
        (
            torch.ones(2),
            2,
            torch.tensor([True, False]),
            r"candidates \(1\), got 2",
        ),
        (
            torch.ones(2),
            1,
            torch.ones(3) > 0,
            r"`among` must be .* \(2,\); got",
        ),
        (torch.ones(2), 1, torch.ones(2), "`among` must be a bool tensor"),
    ],
)
def test_top_mask_refuses(score, keep, among, message):
    with pytest.raises(UserError, match=message):
        top_mask(score, keep, among)


def test_top_counts_refuses():
    with pytest.raises(UserError, match=r"`keep` .* entries \(3\), got 4"):
        top_counts({"a": torch.ones(1), "b": torch.ones(2)}, 4)
    nan = torch.tensor([math.nan])
    with pytest.raises(UserError, match="`score of b` must be free of NaN"):
        top_counts({"a": torch.ones(1), "b": nan}, 0)


class Lazy(Mapping):
    """Makes a tensor when asked and counts those that are alive."""

    def __init__(self):
        self.alive = weakref.WeakSet()
        self.most = 0

    def __getitem__(self, name):
        tensor = torch.arange(5000.0) + 100 * "abc".index(name)
        self.alive.add(tensor)
        self.most = max(self.most, len(self.alive))
        return tensor

    def __iter__(self):
        return iter("abc")

    def __len__(self):
        return 3


def test_top_counts_reads_one_tensor_at_a_time_and_only_those_named():
    scores = Lazy()
    assert top_counts(scores, 300) == {"a": 0, "b": 100, "c": 200}
    # The next one may be made while a loop variable still holds the last.
    assert scores.most <= 2
    assert top_counts(scores, 300, names=["b", "a"]) == {"b": 200, "a": 100}


def test_opposite_infinities_are_not_taken_for_nan():
    score = torch.tensor([-math.inf, math.inf, 0.0])
    assert top_mask(score, 1).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("place", [0, 7_777, 19_999])
@pytest.mark.parametrize("keep", [0, 1, 10_000, 20_000])
@pytest.mark.parametrize("restricted", [False, True])
def test_nan_is_found_wherever_it_is(dtype, place, keep, restricted):
    generator = torch.Generator().manual_seed(5)
    score = torch.randn(20_000, generator=generator).to(dtype)
    score[place] = math.nan
    among = torch.ones(20_000, dtype=torch.bool)
    among[place] = False  # scores that are no candidates count as well
    keep = min(keep, 19_999) if restricted else keep
    with pytest.raises(UserError, match="`worth` must be free of NaN, got 1"):
        top_mask(score, keep, among if restricted else None, name="worth")


@pytest.mark.parametrize("keep", [1, 9_000, 18_000, 19_990])
@pytest.mark.parametrize("cut", [None, (5.0, 6.0), (-6.0, -5.0)])
def test_half_types_with_infinities_whatever_the_sample(monkeypatch, keep, cut):
    generator = torch.Generator().manual_seed(6)
    score = torch.randn(20_000, generator=generator).bfloat16()
    score[::11], score[5::13] = -math.inf, math.inf
    if cut is not None:
        monkeypatch.setattr(topk, "bracket", lambda samples, share: cut)
    assert torch.equal(top_mask(score, keep), by_sort(score, keep))


def test_scores_may_ask_for_gradients():
    score = torch.randn(5_000, generator=torch.Generator().manual_seed(7))
    expected = by_sort(score, 1_000)
    result = top_mask(score.requires_grad_(), 1_000)
    assert torch.equal(result, expected) and not result.requires_grad
