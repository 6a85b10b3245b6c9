"""When a loss is said to fall no more."""

import random

import pytest

from leanbrain.pruning.guard.stretches import Stretches


def stopped(losses, length=10, every=1):
    """The step at which it gives up, or None."""
    stretches = Stretches(length)
    for i, loss in enumerate(losses):
        if stretches.note(i * every, loss):
            return i * every
    return None


def test_a_plateau_ends_after_three_stretches():
    assert stopped([8.0] * 100, length=20) == 59


def test_short_runs_wait_for_ten_batches_of_each_stretch():
    assert stopped([8.0] * 29, length=1) is None
    assert stopped([8.0] * 30, length=1) == 29


def test_a_rare_pathway_waits_for_batches_not_steps():
    assert stopped([8.0] * 29, length=10, every=50) is None


def test_what_falls_goes_on():
    assert stopped([8.0 * 0.99**n for n in range(300)]) is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_hides_no_recovery(seed):
    """Of Whisper base cut at once to 50 %: 6.4 to 0.31 in 60 steps."""
    noise = random.Random(seed)
    fall = (0.31 / 6.4) ** (1 / 60)
    losses = [6.4 * fall**n * noise.lognormvariate(0, 0.3) for n in range(60)]
    assert stopped(losses) is None


def test_the_state_goes_on():
    losses = [8.0] * 15 + [5.0] * 40
    for cut in range(len(losses)):
        first, second = Stretches(10), Stretches(10)
        for i in range(cut):
            first.note(i, losses[i])
        second.load_state_dict(first.state_dict())
        straight = stopped(losses)
        resumed = next(
            (i for i in range(cut, len(losses)) if second.note(i, losses[i])),
            None,
        )
        assert straight is None or cut > straight or resumed == straight
