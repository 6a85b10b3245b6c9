"""The history of a run: each step once, whatever was killed or resumed."""

import json
import math

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.monitor.history import History, read_history


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "history.jsonl"


def write(history, steps):
    for step in steps:
        history.append({"step": step})


def steps(path):
    return [record["step"] for record in read_history(path)]


def test_disk_is_untouched_until_the_first_record(path):
    history = History(path)
    history.resume(5, 3)
    assert not path.parent.exists()
    assert history.lines == 3
    write(history, [6])
    assert steps(path) == [6]


def test_records_come_back_as_they_were(path):
    record = {"step": 3, "kind": "loss", "loss": {"en": 2.5, "русский": 1.0}}
    History(path).append(record)
    assert read_history(path) == [record]


def test_each_record_is_on_the_disk_at_once(path):
    history = History(path)
    for n in (1, 2, 3):
        write(history, [n])
        assert path.read_bytes().count(b"\n") == history.lines == n


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_become_null(path, value):
    record = {"step": 1, "loss": {"en": value}, "list": [value, 1.0]}
    History(path).append(record)
    # As other readers of JSON see it.
    line = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert line == {"step": 1, "loss": {"en": None}, "list": [None, 1.0]}


def test_resumed_run_drops_what_it_writes_again(path):
    write(History(path), range(1, 11))
    history = History(path)
    history.resume(step=6, lines=6)
    assert steps(path) == list(range(1, 11))
    write(history, [7, 8])
    assert steps(path) == list(range(1, 9))
    assert history.lines == 8


def test_training_again_in_the_same_process_drops_as_well(path):
    history = History(path)
    write(history, range(1, 6))
    history.resume(step=3, lines=3)
    write(history, [4])
    assert steps(path) == [1, 2, 3, 4]


def test_line_of_the_same_step_after_the_checkpoint_is_dropped(path):
    write(History(path), [5, 6, 6])
    history = History(path)
    history.resume(step=6, lines=2)
    write(history, [6])
    assert steps(path) == [5, 6, 6]


def test_line_of_a_later_step_is_dropped_wherever_it_is(path):
    write(History(path), [5, 9, 6])
    history = History(path)
    history.resume(step=6, lines=3)
    write(history, [7])
    assert steps(path) == [5, 6, 7]


@pytest.mark.parametrize("first", [1, 4])
def test_new_run_replaces_its_killed_predecessor(path, first):
    write(History(path), range(1, 7))
    write(History(path), [first])
    assert steps(path) == list(range(1, first + 1))


def test_half_written_last_line_is_dropped(path):
    write(History(path), [1, 2])
    with open(path, "a") as file:
        file.write('{"step": 3, "ki')
    assert steps(path) == [1, 2]
    write(History(path), [3])
    assert steps(path) == [1, 2, 3]


def test_record_of_a_test_drops_nothing_but_the_broken_line(path):
    write(History(path), [1, 2, 3])
    with open(path, "a") as file:
        file.write('{"step"')
    history = History(path)
    history.resume(step=2, lines=2)
    history.append({"step": 2, "stage": "test"}, keep_all=True)
    assert steps(path) == [1, 2, 3, 2]
    # Training that goes on does drop what it will write again.
    write(history, [3])
    assert steps(path) == [1, 2, 3]
    assert "stage" not in path.read_text()


def test_rewriting_leaves_no_temporary_file(path):
    write(History(path), [1, 2, 3])
    write(History(path), [2])
    assert [x.name for x in path.parent.iterdir()] == [path.name]


def test_missing_history_is_empty(path):
    assert read_history(path) == []


@pytest.mark.parametrize("line", ["{oops", "[1]", '{"kind": "loss"}'])
def test_broken_line_is_named(path, line):
    write(History(path), [1])
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(
        UserError, match=r"history.jsonl must hold .* in line 2"
    ):
        read_history(path)
    with pytest.raises(UserError, match="in line 2"):
        write(History(path), [2])
