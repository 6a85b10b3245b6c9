"""The clock counts what runs between start and pause, and nothing else."""

import multiprocessing
import threading
import time

import pytest
import torch

from leanbrain.optbench.trials.clock import PausedClock, process_cpu

BURN_S = 0.3


class Fake:
    """Two times that pass only when told, and a list of what was called."""

    def __init__(self, reading_costs=0.0):
        self.wall = 100.0
        self.cpu = 7.0
        self.reading_costs = reading_costs
        self.calls = []

    def clock(self):
        return PausedClock(
            now=self.now, cpu_now=self.cpu_now, synchronize=self.synchronize
        )

    def spend(self, wall, cpu=0.0):
        self.wall += wall
        self.cpu += cpu

    def now(self):
        self.calls.append("now")
        return self.wall

    def cpu_now(self):
        self.calls.append("cpu")
        self.wall += self.reading_costs
        return self.cpu

    def synchronize(self):
        self.calls.append("synchronize")


@pytest.mark.parametrize("seed", range(5))
def test_counts_the_running_parts_and_only_those(seed):
    generator = torch.Generator().manual_seed(seed)
    fake = Fake()
    clock = fake.clock()
    counted, cpu, origin = 0.0, 0.0, None
    fake.spend(50.0, 50.0)
    for wall, busy, runs in torch.rand(40, 3, generator=generator).tolist():
        if runs > 0.5 and not clock.is_running:
            clock.start()
            origin = fake.wall if origin is None else origin
        elif runs <= 0.5 and clock.is_running:
            clock.pause()
        fake.spend(wall, busy)
        if clock.is_running:
            counted, cpu = counted + wall, cpu + busy
        reading = clock.read()
        assert reading.step_s == pytest.approx(counted)
        assert reading.cpu_s == pytest.approx(cpu)
        elapsed = 0.0 if origin is None else fake.wall - origin
        assert reading.wall_s == pytest.approx(elapsed)


def test_blocks_count_and_leave_out():
    fake = Fake()
    clock = fake.clock()
    with clock.running():
        fake.spend(1.0)
        with clock.paused():
            fake.spend(10.0)
        fake.spend(2.0)
    with clock.paused():
        fake.spend(20.0)
    assert not clock.is_running
    assert clock.read().as_result() == {"step": 3.0, "cpu": 0.0, "wall": 33.0}


def test_waits_for_the_device_before_every_time():
    fake = Fake()
    clock = fake.clock()
    clock.start()
    clock.read()
    clock.pause()
    times = [i for i, call in enumerate(fake.calls) if call != "synchronize"]
    assert fake.calls.count("synchronize") == 3
    assert fake.calls[0] == "synchronize"
    # Both times of a reading follow one synchronisation.
    assert [fake.calls[i - 1] for i in times[::2]] == ["synchronize"] * 3


def test_what_reading_costs_is_not_counted():
    fake = Fake(reading_costs=1.0)
    clock = fake.clock()
    for _ in range(10):
        with clock.running():
            fake.spend(0.5)
    assert clock.read().step_s == 5.0


def test_misuse_is_refused():
    clock = PausedClock()
    with pytest.raises(RuntimeError, match="must be running to be paused"):
        clock.pause()
    clock.start()
    with pytest.raises(RuntimeError, match="must be paused to be started"):
        clock.start()


def burn():
    """Keeps a core busy for a while."""
    end = time.thread_time() + BURN_S
    while time.thread_time() < end:
        pass


def burn_and_wait(burnt, done):
    """In another process: burns, then lives on until it may end."""
    burn()
    burnt.set()
    done.wait()


def test_threads_are_counted():
    before = process_cpu()
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    assert process_cpu() - before >= 0.9 * BURN_S


def test_children_are_counted_alive_and_ended():
    context = multiprocessing.get_context("fork")
    burnt, done = context.Event(), context.Event()
    child = context.Process(target=burn_and_wait, args=(burnt, done))
    before = process_cpu()
    child.start()
    burnt.wait()
    alive = process_cpu()
    done.set()
    child.join()
    ended = process_cpu()
    assert alive - before >= 0.9 * BURN_S - 0.02
    assert ended >= alive - 0.02


def read_as_rank(rank, meeting, answers):
    """In a process of two: a clock that ran `rank` + 1 seconds."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=2,
    )
    fake = Fake()
    clock = fake.clock()
    with clock.running():
        fake.spend(rank + 1.0, 2.0 - rank)
    answers.put(clock.read().as_result())
    torch.distributed.destroy_process_group()


@pytest.mark.ddp
def test_the_slowest_process_counts(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    meeting = tmp_path / "meeting"
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    ranks = [
        context.Process(target=read_as_rank, args=(i, meeting, answers))
        for i in range(2)
    ]
    for rank in ranks:
        rank.start()
    found = [answers.get(timeout=600) for _ in ranks]
    for rank in ranks:
        rank.join(timeout=600)
    assert found == [{"step": 2.0, "cpu": 2.0, "wall": 2.0}] * 2
