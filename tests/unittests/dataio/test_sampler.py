"""LanguageBatchSampler: homogeneous, bounded, tempered, resumable, shared."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.dataio.sampler import (
    LanguageBatchSampler,
    evaluation_batches,
    language_probabilities,
)

CORPUS = st.lists(
    st.tuples(st.floats(0.1, 20.0), st.sampled_from(["en", "fr", "uk"])),
    min_size=1,
    max_size=60,
)


def make(corpus, **kwargs):
    durations, languages = zip(*corpus, strict=False)
    options = {"max_batch_s": 12.0, "batches_per_epoch": 7, **kwargs}
    return LanguageBatchSampler(durations, languages, **options)


def epoch(sampler, number):
    sampler.set_epoch(number)
    return list(sampler)


@settings(max_examples=50, deadline=None)
@given(CORPUS, st.integers(1, 4), st.floats(0.0, 0.5))
def test_batches_are_of_one_language_and_fit(corpus, number, jitter):
    sampler = make(corpus, jitter=jitter)
    batches = epoch(sampler, number)
    assert len(batches) == len(sampler) == 7
    for batch in batches:
        assert len({corpus[i][1] for i in batch}) == 1
        longest = max(corpus[i][0] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= 12.0
        assert len(set(batch)) == len(batch)


@settings(max_examples=30, deadline=None)
@given(CORPUS)
def test_evaluation_sees_every_utterance_once(corpus):
    durations, languages = zip(*corpus, strict=False)
    batches = evaluation_batches(durations, languages, 12.0)
    assert sorted(i for b in batches for i in b) == list(range(len(corpus)))
    for batch in batches:
        assert len({languages[i] for i in batch}) == 1


def corpus_of(**counts):
    generator = torch.Generator().manual_seed(0)
    return [
        (1 + 3 * float(torch.rand(1, generator=generator)), name)
        for name, count in counts.items()
        for _ in range(count)
    ]


def test_a_pass_visits_every_utterance_of_a_language_before_repeating():
    corpus = corpus_of(en=40)
    sampler = make(corpus, batches_per_epoch=200)
    order = [i for batch in epoch(sampler, 1) for i in batch]
    for start in range(0, len(order) - 40, 40):
        assert sorted(order[start : start + 40]) == list(range(40))


def test_epochs_continue_the_streams_and_depend_on_seed_and_epoch_alone():
    corpus = corpus_of(en=30, fr=12)
    one = make(corpus, seed=5)
    straight = [epoch(one, e) for e in (1, 2, 3)]
    again = make(corpus, seed=5)
    assert epoch(again, 3) == straight[2]
    assert epoch(again, 1) == straight[0]
    assert epoch(make(corpus, seed=6), 1) != straight[0]
    long = make(corpus, seed=5, batches_per_epoch=7)
    seen = Counter(i for e in (1, 2, 3) for b in epoch(long, e) for i in b)
    assert max(seen.values()) - min(seen.values()) <= 3


def test_temperature_flattens_the_shares():
    seconds = {"big": 900.0, "small": 100.0}
    assert language_probabilities(seconds)["small"] == pytest.approx(0.1)
    assert language_probabilities(seconds, 2.0)["small"] == pytest.approx(0.25)
    assert language_probabilities(seconds, 1e6)["small"] == pytest.approx(
        0.5, abs=1e-5
    )


def test_languages_are_drawn_by_their_probabilities():
    corpus = corpus_of(en=90, fr=10)
    sampler = make(corpus, batches_per_epoch=4000, temperature=2.0)
    drawn = Counter(corpus[b[0]][1] for b in epoch(sampler, 1))
    expected = sampler.probabilities["fr"] * 4000
    assert abs(drawn["fr"] - expected) < 4 * (expected * 0.75) ** 0.5


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_an_epoch_without_overlap(world_size):
    corpus = corpus_of(en=30, fr=12)
    kwargs = {"batches_per_epoch": 5, "world_size": world_size}
    ranks = [
        epoch(make(corpus, rank=r, **kwargs), 2) for r in range(world_size)
    ]
    assert all(len(r) == 5 for r in ranks)
    whole = epoch(make(corpus, batches_per_epoch=5 * world_size), 2)
    mixed = [ranks[i % world_size][i // world_size] for i in range(len(whole))]
    assert mixed == whole


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"max_batch_s": 0.0}, "`max_batch_s`"),
        ({"batches_per_epoch": 0}, "`batches_per_epoch` must be .* got 0"),
        ({"temperature": 0.5}, "`temperature` must be >= 1, got 0.5"),
        ({"jitter": 1.0}, "`jitter` must be in \\[0, 1\\), got 1.0"),
        ({"rank": 2, "world_size": 2}, "`rank` must be below .* got 2"),
    ],
)
def test_settings_are_checked(kwargs, match):
    with pytest.raises(UserError, match=match):
        make(corpus_of(en=2), **kwargs)


def test_lists_of_different_length_are_refused():
    with pytest.raises(UserError, match="same length > 0, got 2 and 1"):
        LanguageBatchSampler([1.0, 2.0], ["en"], 5.0, 1)
    with pytest.raises(UserError, match="got 0 and 0"):
        LanguageBatchSampler([], [], 5.0, 1)
