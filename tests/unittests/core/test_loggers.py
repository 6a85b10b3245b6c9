"""Loggers: what TensorBoard reads back, also after kills and resumes."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.train_logger import FileTrainLogger
from tensorboard.backend.event_processing.plugin_event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.summary.writer import event_file_writer
from tensorboard.util.tensor_util import make_ndarray

from leanbrain import board
from leanbrain.checks import UserError
from leanbrain.files import write_json
from leanbrain.loggers import FanOutLogger, TensorBoardLogger
from leanbrain.masking.maskset import MaskSet
from leanbrain.masking.targets import Target
from leanbrain.pruning.monitor.monitor import PruningMonitor


def read(folder):
    """What TensorBoard shows of a folder."""
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def tags(folder, plugin):
    return sorted(read(folder).PluginTagToContent(plugin))


def points(folder, tag):
    events = read(folder).Tensors(tag)
    return [(x.step, make_ndarray(x.tensor_proto).item()) for x in events]


def text(folder, tag):
    events = read(folder).Tensors(f"{tag}/text_summary")
    return [(x.step, x.tensor_proto.string_val[0].decode()) for x in events]


def train(log, steps, value):
    for step in steps:
        log.log_stats({"step": step}, train_stats={"loss": value(step)})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # Names of event files hold the second and a count; TensorBoard reads
    # them in alphabetic order. Files of one test, all of the same second,
    # would be read in the wrong order when the count goes from 9 to 10.
    counter = event_file_writer.AtomicCounter(100)
    monkeypatch.setattr(event_file_writer, "_global_uid", counter)
    return tmp_path / "board"


def test_disk_is_untouched_until_the_first_number(folder):
    log = TensorBoardLogger(folder)
    log.layout({"Overview": {"Loss": ["train/loss$"]}})
    log.flush()
    log.close()
    assert not folder.exists()
    log.add_scalar("x", 1.0, 3)
    assert folder.exists()


@pytest.mark.parametrize(
    ("stats", "tag", "value"),
    [
        ({"loss": 2.5}, "valid/loss", 2.5),
        ({"cer": {"en": 7.5}}, "valid/cer/en", 7.5),
        ({"cer": {"en": {"all": 7}}}, "valid/cer/en/all", 7.0),
        ({"loss": torch.tensor([0.5])}, "valid/loss", 0.5),
        ({"loss": np.float32(0.5)}, "valid/loss", 0.5),
        ({"loss": [1.0, torch.tensor(2.0)]}, "valid/loss", 1.5),
        ({"good": True}, "valid/good", 1.0),
    ],
)
def test_numbers_become_scalars(folder, stats, tag, value):
    log = TensorBoardLogger(folder)
    log.log_stats({"step": 12}, valid_stats=stats)
    assert points(folder, tag) == [(12, value)]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("Adam", "Adam"), ([], "[]"), (["a", 1.0], "['a', 1.0]")],
)
def test_all_else_becomes_text(folder, value, wanted):
    log = TensorBoardLogger(folder)
    log.log_stats({"step": 4, "optimizer": value, "note": None})
    assert text(folder, "meta/optimizer") == [(4, wanted)]
    assert tags(folder, "text") == ["meta/optimizer/text_summary"]


def test_text_is_written_when_it_changes(folder):
    log = TensorBoardLogger(folder)
    for step, name in enumerate(["SGD", "SGD", "Adam"], start=1):
        log.log_stats({"step": step, "optimizer": name})
    assert text(folder, "meta/optimizer") == [(1, "SGD"), (3, "Adam")]


def test_non_finite_numbers_are_shown_as_such(folder):
    log = TensorBoardLogger(folder)
    train(log, [1], lambda step: math.nan)
    assert math.isnan(points(folder, "train/loss")[0][1])


@pytest.mark.parametrize("key", ["step", "optimizer_step"])
def test_step_is_the_axis_and_no_statistic(folder, key):
    log = TensorBoardLogger(folder)
    log.log_stats({key: 70, "lr": 0.5}, train_stats={"loss": 1.0})
    assert points(folder, "meta/lr") == [(70, 0.5)]
    assert tags(folder, "scalars") == ["meta/lr", "train/loss"]


def test_calls_are_counted_where_no_step_is_given(folder):
    log = TensorBoardLogger(folder)
    for loss in (3.0, 2.0):
        log.log_stats({}, train_stats={"loss": loss})
    assert points(folder, "train/loss") == [(1, 3.0), (2, 2.0)]


def test_statistics_without_a_step_join_the_last_one(folder):
    log = TensorBoardLogger(folder)
    log.add_scalar("loss/en", 1.0, 50)
    log.log_stats({"Epoch loaded": 3}, test_stats={"cer": 9.0})
    assert points(folder, "test/cer") == [(50, 9.0)]


def test_step_must_be_an_integer(folder):
    log = TensorBoardLogger(folder)
    with pytest.raises(UserError, match="`step` must be an integer >= 0, got"):
        log.log_stats({"step": -1}, train_stats={"loss": 1.0})


def test_figure_keeps_its_size_in_pixels(folder):
    log = TensorBoardLogger(folder)
    log.add_figure("picture", Figure((2, 1), dpi=50), 5)
    log.flush()
    (image,) = read(folder).Tensors("picture")
    assert image.step == 5
    assert image.tensor_proto.string_val[:2] == [b"100", b"50"]


def test_many_scalars_share_a_prefix_and_a_step(folder):
    log = TensorBoardLogger(folder)
    log.add_scalars({"cer": {"en": 7.5}, "loss": 1.0}, 8, prefix="valid")
    log.flush()
    assert tags(folder, "scalars") == ["valid/cer/en", "valid/loss"]
    assert points(folder, "valid/cer/en") == [(8, 7.5)]


def test_pruning_monitor_writes_through_the_logger(folder):
    masks = MaskSet({"w": (4, 4)}, ["en", "fr"])
    before = masks.clone()
    masks.set("fr", "w", torch.eye(4).bool())
    target = Target("w", torch.nn.Parameter(torch.zeros(4, 4)), "layer", ())
    monitor = PruningMonitor(TensorBoardLogger(folder))
    monitor.on_update(30, ["fr"], before, masks, [target], 0.75)
    assert points(folder, "pruning/density_group/layer/fr") == [(30, 0.25)]
    assert points(folder, "pruning/churn/fr") == [(30, 0.75)]
    assert tags(folder, "images") == ["pruning/overlap"]
    assert "Density of layer" in shown_layout(folder)[1]["Layers"]


def checkpointed(folder, tmp_path):
    """A logger and the checkpointer that saves it, as in a new process."""
    log = TensorBoardLogger(folder)
    return log, Checkpointer(tmp_path / "save", {"board": log})


def test_resumed_run_shows_each_step_once(folder, tmp_path):
    log, checkpointer = checkpointed(folder, tmp_path)
    train(log, range(1, 7), float)
    checkpointer.save_checkpoint()
    train(log, range(7, 11), float)
    # Killed here: never closed.
    log, checkpointer = checkpointed(folder, tmp_path)
    checkpointer.recover_if_possible()
    log.log_stats({"step": 7, "note": "again"}, train_stats={"loss": 107.0})
    train(log, range(8, 13), lambda step: 100.0 + step)
    wanted = [(x, float(x)) for x in range(1, 7)]
    wanted += [(x, 100.0 + x) for x in range(7, 13)]
    assert points(folder, "train/loss") == wanted
    # Written before the numbers of the same call, and not hidden by them.
    assert text(folder, "meta/note") == [(7, "again")]


def test_resumed_count_of_calls_goes_on(folder, tmp_path):
    log, checkpointer = checkpointed(folder, tmp_path)
    for loss in (3.0, 2.0):
        log.log_stats({}, train_stats={"loss": loss})
    checkpointer.save_checkpoint()
    log.log_stats({}, train_stats={"loss": 7.0})
    log, checkpointer = checkpointed(folder, tmp_path)
    checkpointer.recover_if_possible()
    log.log_stats({}, train_stats={"loss": 1.0})
    assert points(folder, "train/loss") == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_run_without_a_checkpoint_hides_its_killed_predecessor(folder):
    train(TensorBoardLogger(folder), range(1, 6), float)
    train(TensorBoardLogger(folder), range(1, 4), lambda step: -1.0)
    assert points(folder, "train/loss") == [(1, -1.0), (2, -1.0), (3, -1.0)]


def test_count_that_starts_again_hides_nothing(folder):
    for loss in (3.0, 2.0):
        log = TensorBoardLogger(folder)
        log.log_stats({}, train_stats={"loss": loss})
    assert points(folder, "train/loss") == [(1, 3.0), (1, 2.0)]


def test_text_at_step_0_hides_nothing(folder):
    train(TensorBoardLogger(folder), range(1, 6), float)
    log = TensorBoardLogger(folder)
    log.add_text("settings", "seed: 1", 0)
    train(log, [5], lambda step: -1.0)
    assert points(folder, "train/loss")[-2:] == [(4, 4.0), (5, -1.0)]
    assert text(folder, "settings") == [(0, "seed: 1")]


@pytest.mark.parametrize("new_process", [True, False])
def test_test_of_an_older_checkpoint_hides_nothing(
    folder, tmp_path, new_process
):
    log, checkpointer = checkpointed(folder, tmp_path)
    train(log, range(1, 4), float)
    checkpointer.save_checkpoint()
    train(log, range(4, 7), float)
    if new_process:
        log, checkpointer = checkpointed(folder, tmp_path)
    checkpointer.recover_if_possible()
    log.log_stats({"epochs": 3}, test_stats={"loss": 9.0})
    log.add_scalar("test/cer/en", 8.0, 3)
    log.flush()
    assert len(points(folder, "train/loss")) == 6
    assert points(folder, "test/loss") == [(3, 9.0)]
    assert points(folder, "meta/epochs") == [(3, 3.0)]
    # Training that goes on from there does hide what it writes again.
    train(log, [4], lambda step: -1.0)
    assert points(folder, "train/loss")[2:] == [(3, 3.0), (4, -1.0)]


def test_saving_puts_earlier_numbers_on_the_disk(folder, tmp_path, monkeypatch):
    log, checkpointer = checkpointed(folder, tmp_path)
    log.add_scalar("x", 1.0, 1)
    calls = []
    monkeypatch.setattr(log, "flush", lambda: calls.append("flush"))
    monkeypatch.setattr(
        board, "write_json", lambda path, state: calls.append("save")
    )
    checkpointer.save_checkpoint()
    assert calls == ["flush", "save"]


@pytest.mark.parametrize(
    "state",
    [
        {"format": "x", "version": 1},
        {"format": "leanbrain.board", "version": 2},
        [1],
    ],
)
def test_foreign_state_is_refused(folder, tmp_path, state):
    log, checkpointer = checkpointed(folder, tmp_path)
    checkpoint = checkpointer.save_checkpoint()
    write_json(checkpoint.paramfiles["board"], state)
    with pytest.raises(UserError, match="must be version 1 of 'leanbrain.bo"):
        checkpointer.recover_if_possible()


def shown_layout(folder):
    events = read(folder).Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout()
    layout.ParseFromString(events[-1].tensor_proto.string_val[0])
    charts = {
        category.title: {
            chart.title: list(chart.multiline.tag) for chart in category.chart
        }
        for category in layout.category
    }
    return len(events), charts


def test_layout_is_written_once_and_survives_a_resume(folder, tmp_path):
    layout = {"B": {"Loss": ["train/loss$", "valid/loss$"]}, "A": {"x": ["y"]}}
    log, checkpointer = checkpointed(folder, tmp_path)
    for step in (1, 2):
        log.layout(layout)
        train(log, [step], float)
    assert shown_layout(folder) == (1, layout)
    checkpointer.save_checkpoint()
    log, checkpointer = checkpointed(folder, tmp_path)
    checkpointer.recover_if_possible()
    log.layout(layout)
    train(log, [3], float)
    assert shown_layout(folder)[1] == layout
    assert [x for x, _ in points(folder, "train/loss")] == [1, 2, 3]
    # A layout that grew replaces the old one.
    log.layout({"A": {"z": ["z"]}})
    log.flush()
    assert shown_layout(folder)[1] == {"A": {"z": ["z"]}}


def test_other_ranks_write_nothing(folder, monkeypatch):
    monkeypatch.setattr(board, "if_main_process", lambda: False)
    log = TensorBoardLogger(folder)
    log.log_stats({"step": 1, "optimizer": "Adam"}, train_stats={"loss": 1.0})
    log.add_figure("picture", Figure(), 1)
    log.add_scalar("x", 1.0, 1)
    assert not folder.exists()


def test_close_keeps_the_logger_usable(folder, tmp_path):
    log, checkpointer = checkpointed(folder, tmp_path)
    train(log, [1], float)
    checkpointer.save_checkpoint()
    train(log, [2, 3], float)
    log.close()
    checkpointer.recover_if_possible()
    train(log, [2], lambda step: -1.0)
    assert points(folder, "train/loss") == [(1, 1.0), (2, -1.0)]


def test_missing_tensorboard_is_said_at_once(folder, monkeypatch):
    monkeypatch.setattr(board.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package tensorboard"):
        TensorBoardLogger(folder)


def test_verbose_tells_pythons_logging(folder, caplog):
    log = TensorBoardLogger(folder)
    with caplog.at_level("INFO", logger="leanbrain.board"):
        log.log_stats({"step": 2}, train_stats={"loss": 1.5})
        assert caplog.messages == []
        log.log_stats({"step": 3}, train_stats={"loss": 1.5}, verbose=True)
    assert caplog.messages == ["step 3, train/loss: 1.5"]


class Recorder:
    def __init__(self):
        self.calls = []

    def log_stats(self, *stats, verbose="default"):
        self.calls.append((*stats, verbose))


def test_fan_out_calls_all_with_flat_statistics():
    first, second = Recorder(), Recorder()
    log = FanOutLogger([first, second])
    log.log_stats({"step": 1}, None, {"cer": {"en": 7.5}, "loss": 1.0})
    log.log_stats({"epoch": 1}, test_stats={"cer": 2.0}, verbose=True)
    wanted = [
        ({"step": 1}, None, {"cer/en": 7.5, "loss": 1.0}, None, "default"),
        ({"epoch": 1}, None, None, {"cer": 2.0}, True),
    ]
    assert first.calls == second.calls == wanted


def test_fan_out_serves_speechbrains_file_logger(folder, tmp_path):
    lines = FileTrainLogger(str(tmp_path / "log.txt"))
    log = FanOutLogger([lines, TensorBoardLogger(folder)])
    log.log_stats({"step": 9}, valid_stats={"cer": {"en": 7.5}})
    assert (tmp_path / "log.txt").read_text() == (
        "step: 9 - valid cer/en: 7.50\n"
    )
    assert points(folder, "valid/cer/en") == [(9, 7.5)]


def test_fan_out_needs_loggers():
    with pytest.raises(UserError, match=r"at least one logger, got \[\]"):
        FanOutLogger([])
    with pytest.raises(UserError, match="with a method log_stats, got 'x'"):
        FanOutLogger(["x"])
