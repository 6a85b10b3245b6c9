"""What a loss is compared with."""

import math

import pytest

from leanbrain.pruning.guard.levels import LossLevels


def levels_of(*losses, dense=True, pathway="en", factor=10.0, floor=0.1):
    levels = LossLevels(factor, floor)
    for loss in losses:
        levels.note(pathway, loss, dense)
    return levels


def test_the_reference_is_the_loss_of_the_dense_model():
    levels = levels_of(*[0.5] * 40)
    for loss in (5.0, 6.0, 7.0):
        levels.note("en", loss, dense=False)
    assert 0.5 <= levels.reference("en") <= 0.5 * (1 + 1 / 40)
    assert levels.ratio("en") > 5


def test_one_batch_says_less_than_many():
    assert levels_of(0.5).reference("en") == 1.0
    assert levels_of(*[0.5] * 100).reference("en") == pytest.approx(0.505)


def test_it_falls_with_the_best_and_never_rises():
    levels, before = levels_of(5.0), math.inf
    for n in range(200):
        levels.note("en", 5.0 * 0.98**n if n < 100 else 9.0, dense=False)
        assert levels.reference("en") <= before
        before = levels.reference("en")
    assert before < 2.0


def test_random_weights_have_no_loss_to_lose():
    levels = levels_of(3.0, 3.1, 2.9, dense=True)
    for loss in (3.2, 3.4, 2.8, 4.0):
        levels.note("en", loss, dense=False)
    assert levels.ratio("en") < 1.3


def test_tiny_losses_count_as_the_floor():
    levels = levels_of(*[0.001] * 50)
    for _ in range(20):
        levels.note("en", 0.1, dense=False)
    assert levels.ratio("en") == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("own", "reference"), [(0.3, 0.4), (0.05, 0.15), (0.0, 0.1), (9.0, 9.0)]
)
def test_the_mean_over_pathways_lifts_a_reference(own, reference):
    levels = levels_of(*[0.5] * 50)
    for _ in range(50):
        levels.note("fr", own, dense=True)
    assert levels.reference("fr") == pytest.approx(reference, rel=0.03)


def test_pathways_that_were_spoilt_before_they_were_seen_excuse_no_other():
    levels = levels_of(0.06)
    for pathway in ("fr", "ru", "en", "en", "en"):
        levels.note(pathway, 90.0, dense=True)
    assert levels.ratio("en") > 100


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_losses_that_are_no_number_change_nothing(bad):
    levels = levels_of(0.5, 0.6)
    before = levels.state_dict()
    levels.note("en", bad, dense=False)
    assert levels.state_dict() == before


def test_losses_that_may_be_negative_are_not_compared():
    levels = levels_of(-15.0, -14.0, 20.0, 30.0)
    assert levels.ratio("en") == 0.0


def test_without_a_dense_batch_the_first_loss_counts():
    levels = levels_of(3.0, dense=False)
    assert levels.reference("en") == 6.0


def test_new_masks_are_not_judged_by_losses_before_them():
    levels = levels_of(*[0.5] * 50)
    levels.restart("en")
    levels.note("en", 6.0, dense=False)
    assert levels.level("en") == 6.0
    assert levels.reference("en") == pytest.approx(0.51)
    levels.note("en", 7.0, dense=False)
    assert levels.level("en") == 6.5


def test_one_bad_batch_says_nothing():
    levels = levels_of(*[0.5] * 20, 1e6, 0.5, 0.4)
    assert levels.ratio("en") < 1


def test_nothing_seen_is_nothing_said():
    levels = LossLevels(10.0, 0.1)
    assert levels.ratio("en") == levels.beside_others("en") == 0.0


def test_a_language_that_is_new_to_the_model_is_not_called_broken():
    levels = levels_of(*[0.3] * 30)
    for _ in range(20):
        levels.note("new", 6.0, dense=False)
    assert levels.ratio("new") == 0.0


def test_a_pathway_first_seen_behind_masks_is_broken_with_the_others():
    levels = levels_of(0.3)
    for _ in range(20):
        levels.note("en", 9.0, dense=False)
        levels.note("fr", 8.0, dense=False)
    assert levels.ratio("fr") == pytest.approx(8.0 / 0.6)
    # What has recovered once has a best of its own.
    for _ in range(40):
        levels.note("fr", 0.4, dense=False)
    for _ in range(20):
        levels.note("en", 0.3, dense=False)
        levels.note("fr", 9.0, dense=False)
    assert levels.ratio("en") < 1 and levels.ratio("fr") > 10


def test_after_a_rewind_the_reference_is_that_of_the_copy():
    levels = levels_of(3.0, *[2.0] * 9)
    levels.mark()
    early = levels.reference("en")
    for _ in range(100):
        levels.note("en", 0.3, dense=False)
    levels.rewind()
    assert levels.level("en") == 0.0 and levels.reference("en") == early
    # A copy of the start: what it came to was seen in the first step.
    start = levels_of(0.3, *[0.2] * 50)
    start.rewind()
    assert start.reference("en") == 0.6


def test_the_losses_of_another_training_are_not_compared():
    levels = levels_of(*[0.3] * 30)
    levels.forget()
    levels.note("en", 30.0, dense=False)
    assert levels.ratio("en") == 0.5


def test_a_rare_language_is_compared_with_the_others_at_the_end():
    levels = levels_of(*[0.3] * 30)
    levels.note("ru", 2.4, dense=False)
    assert levels.ratio("ru") < 1
    assert levels.beside_others("ru") == pytest.approx(8.0, rel=0.05)
    assert levels.beside_others("en") == 0.0


def test_the_state_goes_on_as_if_nothing_had_been():
    losses = [0.5, 0.4, 3.0, 0.2, 5.0, 6.0, 0.1]
    for stop in range(len(losses)):
        resumed = LossLevels(10.0, 0.1)
        resumed.load_state_dict(levels_of(*losses[:stop]).state_dict())
        for loss in losses[stop:]:
            resumed.note("en", loss, dense=True)
        assert resumed.state_dict() == levels_of(*losses).state_dict()
