"""The ledger keeps what it was given, whatever happens in between."""

import errno
import json
import os
import subprocess
import sys
import threading
import warnings

import pytest

from leanbrain import UserError
from leanbrain.experiments import Ledger
from leanbrain.experiments import ledger as ledger_module
from leanbrain.experiments.ledger import check_row, sign


def row(number, **changes):
    base = {
        "digest": f"{number:016x}",
        "status": "done",
        "started": f"2026-01-01T00:00:{number % 60:02d}+00:00",
        "result": {"x": number / 3, "text": "é\n\x85"},
    }
    return {**base, **changes}


def filled(root, count):
    ledger = Ledger(root)
    for number in range(count):
        ledger.append(row(number))
    return ledger


def quiet_read(ledger):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ledger.read()


def test_what_is_appended_is_read(root):
    ledger = filled(root, 5)
    assert quiet_read(ledger) == [sign(row(i)) for i in range(5)]
    assert ledger.problems == []
    assert len(ledger.path.read_text().splitlines()) == 5


def test_the_last_row_of_a_trial_wins(root):
    ledger = filled(root, 3)
    ledger.append(row(1, status="failed"))
    rows = quiet_read(ledger)
    assert [x["status"] for x in rows] == ["done", "failed", "done"]


def test_no_ledger_is_an_empty_one(root):
    assert quiet_read(Ledger(root)) == []
    assert not root.exists()


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_costs_that_row_only(root, cut):
    """The next row begins on a line of its own."""
    ledger = filled(root, 3)
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content[:-cut])
    ledger.append(row(7))
    if cut == 1:
        # Only the newline was lost: the line itself is whole.
        assert len(quiet_read(ledger)) == 4
        return
    with pytest.warns(UserWarning, match="Line 3 of .* is damaged"):
        rows = ledger.read()
    assert [x["digest"][-1] for x in rows] == ["0", "1", "7"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b'"done"', b'"void"'),
        lambda line: line[: len(line) // 2],
        lambda line: b"\x00" * len(line),
        lambda line: b"[1, 2]",
        lambda line: b"null",
        lambda line: b'{"digest": "x"}',
    ],
)
def test_a_damaged_line_is_skipped_named_and_mended(root, damage):
    ledger = filled(root, 4)
    lines = ledger.path.read_bytes().splitlines()
    bad = lines[2] = damage(lines[2])
    ledger.path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.warns(UserWarning, match="Line 3 of .* is damaged"):
        rows = ledger.read()
    assert [x["digest"][-1] for x in rows] == ["0", "1", "3"]
    assert len(ledger.problems) == 1 and "Line 3" in ledger.problems[0]
    assert ledger.repair() == 1
    assert [x["digest"][-1] for x in quiet_read(ledger)] == ["0", "1", "3"]
    beside = root / "ledger.damaged.jsonl"
    assert beside.read_bytes() == bad + b"\n"
    assert ledger.repair() == 0
    assert beside.read_bytes() == bad + b"\n"


def test_a_row_that_only_its_folder_knows_is_found(root):
    """A kill between the two writes loses nothing."""
    ledger = filled(root, 2)
    ledger.record(row(2))
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:2]))
    assert quiet_read(ledger) == [sign(row(i)) for i in range(3)]
    ledger.complete()
    assert ledger.path.read_bytes() == b"".join(lines)


def test_the_folder_is_newer_than_the_ledger(root):
    ledger = Ledger(root)
    ledger.record(row(1, status="failed"))
    before = ledger.path.read_bytes()
    ledger.record(row(1, status="done"))
    ledger.path.write_bytes(before)
    assert [x["status"] for x in quiet_read(ledger)] == ["done"]


def test_damage_in_the_ledger_is_mended_from_the_folder(root):
    ledger = Ledger(root)
    for number in range(3):
        ledger.record(row(number))
    ledger.path.write_bytes(ledger.path.read_bytes()[:-20])
    assert ledger.repair() == 1
    (root / "trials" / f"{2:016x}" / "result.json").unlink()
    assert len(quiet_read(ledger)) == 3


def test_a_copied_folder_says_nothing_of_another_trial(root):
    ledger = Ledger(root)
    ledger.record(row(1))
    (root / "trials" / f"{1:016x}").rename(root / "trials" / f"{2:016x}")
    ledger.path.unlink()
    assert quiet_read(ledger) == []


def test_checksum_covers_every_key():
    signed = sign(row(3))
    assert check_row(json.dumps(signed)) == signed
    for key in signed:
        changed = {**signed, key: "other"}
        assert check_row(json.dumps(changed)) is None, key


LIMITED = """
import resource, sys
from leanbrain.experiments import Ledger
from leanbrain.experiments import ledger as ledger_module
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
Ledger(sys.argv[1]).append({"digest": "9" * 16, "status": "done"})
"""


def limited_append(ledger, extra_bytes):
    """Appends in a process whose files may grow by that many bytes only."""
    limit = ledger.path.stat().st_size + extra_bytes
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(ledger.root), str(limit)],
        capture_output=True,
        text=True,
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("extra_bytes", [0, 1, 30])
def test_a_full_disk_leaves_the_ledger_as_it_was(root, extra_bytes):
    ledger = filled(root, 3)
    before = ledger.path.read_bytes()
    said = limited_append(ledger, extra_bytes)
    assert "cannot be written (File too large)" in said
    assert ledger.path.read_bytes() == before
    assert len(quiet_read(ledger)) == 3


def test_an_error_of_the_disk_after_the_write_is_taken_back(root, monkeypatch):
    ledger = filled(root, 2)
    before = ledger.path.read_bytes()

    def fails(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UserError, match=r"cannot be written \(Input/output"):
        ledger.append(row(9))
    assert ledger.path.read_bytes() == before


def test_many_writers_lose_nothing(root):
    def write(first):
        ledger = Ledger(root)
        for number in range(first, first + 20):
            ledger.append(row(number))

    threads = [
        threading.Thread(target=write, args=(100 * i,)) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(quiet_read(Ledger(root))) == 80


def test_a_reader_between_folder_and_ledger_adds_nothing(root, monkeypatch):
    """Two launchers on one folder: one completes what the other records."""
    others, write = [], ledger_module.write_json

    def write_and_let_others_look(path, content):
        write(path, content)
        other = threading.Thread(target=Ledger(root).complete)
        other.start()
        others.append(other)
        # Time enough for one that does not wait.
        other.join(0.5)

    monkeypatch.setattr(ledger_module, "write_json", write_and_let_others_look)
    Ledger(root).record(row(1))
    for other in others:
        other.join()
    assert len(others) == 1
    assert len(Ledger(root).path.read_text().splitlines()) == 1
