"""What TensorBoard shows of a benchmark."""

import json
import re

import fake_ledger as fake
import pytest
from fake_report import RULES, hostile_rows, read_csv, save

from leanbrain.optbench.report.collect import collect


def test_board_has_a_run_per_trial(hostile):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )
    from tensorboard.plugins.hparams import metadata

    board = hostile / "tensorboard"
    rows = hostile_rows()
    folders = [x for x in board.iterdir() if x.is_dir()]
    assert len(folders) == sum("optimizer" in x["config"] for x in rows)
    lines = read_csv((hostile / "trials.csv").read_text(encoding="utf-8"))
    by_digest = {x["digest"]: x for x in lines}
    assert all(re.fullmatch(r"[\w.-]+", x.name) for x in folders)
    for folder in sorted(folders)[::15]:
        line = by_digest[folder.name.rpartition("-")[2]]
        events = EventAccumulator(str(folder))
        events.Reload()
        content = events.PluginTagToContent("hparams")
        start = metadata.parse_session_start_info_plugin_data(
            content[metadata.SESSION_START_INFO_TAG]
        )
        values = start.hparams
        name = line["optimizer"].removeprefix("'")
        assert values["optimizer"].string_value == name
        wanted = json.loads(line["hyperparameters"])
        assert values["lr"].number_value == wanted["lr"]
        assert values[fake.HOSTILE].string_value == fake.HOSTILE
        scalars = events.Tags()["scalars"]
        reached = line["status"] == "reached"
        assert ("seconds_to_target" in scalars) is reached
        (metric,) = events.Scalars("reached")
        assert metric.value == reached
        if reached:
            (metric,) = events.Scalars("seconds_to_target")
            assert metric.value == pytest.approx(float(line["seconds"]))


def test_board_forgets_trials_that_are_gone(tmp_path):
    rows = fake.fake_rows(faults=False)
    root = save(tmp_path, rows)
    from leanbrain.optbench.report.board import write_board

    data = collect(rows, RULES)
    (root / "board" / "mine").mkdir(parents=True)
    write_board(root / "board", data.outcomes()[:5])
    write_board(root / "board", data.outcomes()[3:6])
    assert sum(x.is_dir() for x in (root / "board").iterdir()) == 3 + 1
