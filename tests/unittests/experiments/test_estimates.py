"""Cost before the launch and time left while it runs."""

import pytest

from leanbrain import UserError
from leanbrain.experiments import Ledger, Trial, estimate
from leanbrain.experiments.estimates import duration, makespan, scale
from leanbrain.experiments.progress import QUIET_S, Progress


def trials(costs):
    return [Trial("m:f", {"i": i}, cost_s=c) for i, c in enumerate(costs)]


def row(trial, seconds, status="done"):
    return {
        "digest": trial.digest,
        "status": status,
        "seconds": seconds,
        "started": "",
    }


@pytest.mark.parametrize(
    ("costs", "workers", "expected"),
    [
        ([], 3, 0.0),
        ([2, 3, 4], 1, 9.0),
        ([2, 3, 4], 3, 4.0),
        ([2, 3, 4], 9, 4.0),
        ([1, 1, 1, 3], 2, 4.0),
        ([3, 1, 1, 1], 2, 3.0),
    ],
)
def test_makespan_by_hand(costs, workers, expected):
    assert makespan(costs, workers) == expected


def test_what_is_recorded_is_not_counted(root):
    some = trials([10, 10, 10, 10])
    Ledger(root).append(row(some[0], 20))
    Ledger(root).append(row(some[1], 5, "failed"))
    found = estimate([*some, some[0]], root, workers=1)
    # 10 s were said and 20 s it took: the two others will take 40 s.
    assert (found.total, found.todo, found.seconds) == (4, 2, 40.0)
    assert found.unknown == 0
    again = estimate(some, root, workers=1, retry=["failed"])
    assert (again.todo, again.seconds) == (3, 60.0)


def test_trials_without_a_cost_take_the_mean(root):
    found = estimate(trials([4, None, 8]), root, workers=1)
    assert (found.seconds, found.unknown) == (18.0, 1)
    assert "about 18 s (1 of unknown duration)" in str(found)
    nothing = estimate(trials([None]), root, workers=1)
    assert nothing.seconds is None and "unknown" in str(nothing)


def test_nothing_to_do(root):
    (one,) = trials([3])
    Ledger(root).append(row(one, 3))
    assert estimate([one], root, 2).seconds == 0
    assert str(estimate([one], root, 2)).startswith("All 1 trials")


def test_workers_are_checked(root):
    with pytest.raises(UserError, match="`workers` must be an integer >= 1"):
        estimate([], root, 0)


def test_scale_leaves_out_what_did_not_end_well():
    some = trials([10, 10])
    rows = [row(some[0], 30), row(some[1], 1, "timed_out")]
    assert scale(some, rows) == 3.0
    assert scale(some, []) == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.4, "59 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min")],
)
def test_duration_at_the_borders(seconds, text):
    assert duration(seconds) == text


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def test_progress_corrects_the_estimate_and_counts_down():
    some, clock, said = trials([10, 10, 10, 10]), Clock(), []
    progress = Progress(some, 1, said.append, now=clock)
    assert progress.left() == 40
    clock.time = 20.0
    progress.update({some[0].digest: row(some[0], 20)})
    assert progress.left() == 60
    clock.time = 25.0
    assert progress.left() == 55
    assert progress.line() == "1/4 trials, 55 s left"


def test_progress_is_quiet_where_lines_are_kept():
    some, clock, said = trials([1, 1]), Clock(), []
    progress = Progress(some, 1, said.append, now=clock)
    for tick in range(1, 201):
        clock.time = tick / 4
        progress.update({})
    assert len(said) == 50 / QUIET_S
    rows = {
        some[0].digest: row(some[0], 1),
        some[1].digest: row(some[1], 1, "timed_out"),
    }
    progress.update(rows)
    progress.close()
    assert said[-1] == "2/2 trials, 1 timed out, took 50 s"


def test_progress_without_costs_learns_from_what_ended():
    some, clock = trials([None, None, None]), Clock()
    progress = Progress(some, 1, None, now=clock)
    assert progress.left() is None
    progress.update({some[0].digest: row(some[0], 7)})
    assert progress.left() == 14


def test_live_line_is_written_over(capsys):
    some = trials([1])
    progress = Progress(some, 1, print, live=True)
    progress.update({})
    progress.update({some[0].digest: row(some[0], 1)})
    progress.close()
    out, err = capsys.readouterr()
    assert err.count("\r") == 3 and "\n" not in err
    assert out.count("\n") == 1
